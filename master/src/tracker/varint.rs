//! Numbers in as few bytes as they need (LEB128), signed ones zigzag; and a reader that never reads beyond its end.

pub fn put_unsigned(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(low(number) | 0x80);
        number >>= 7;
    }
    to.push(low(number));
}

fn low(number: u64) -> u8 {
    u8::try_from(number & 0x7f).expect("seven bits")
}

pub fn put_signed(to: &mut Vec<u8>, number: i64) {
    put_unsigned(to, (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
}

/// `None` from any of these: there is not enough, or it is no number.
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }

    pub fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(self.u8()?);
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return None;
            }
            number |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub fn signed(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_and_small_ones_are_short() {
        let edges = [0, 1, -1, 63, 64, -65, i64::from(i32::MAX), i64::MAX, i64::MIN];
        for number in edges {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, number);
            assert_eq!(Cursor::new(&bytes).signed(), Some(number), "{bytes:x?}");
            assert_eq!(bytes.len() == 1, (-64..64).contains(&number));
        }
        for number in [0, 127, 128, u64::MAX] {
            let mut bytes = Vec::new();
            put_unsigned(&mut bytes, number);
            assert_eq!(Cursor::new(&bytes).unsigned(), Some(number));
        }
    }

    #[test]
    fn what_is_too_long_or_too_short_is_no_number() {
        for bytes in [&[][..], &[0x80], &[0xff; 9], &[0xff; 11]] {
            assert_eq!(Cursor::new(bytes).unsigned(), None, "{bytes:x?}");
        }
        assert_eq!(Cursor::new(&[1]).u16(), None);
    }
}
