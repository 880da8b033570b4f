//! The names of a struct's fields, in their order, as serde sees them: what a file and the environment may set.

use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};

/// The field names of `T`, renamed as serde renames them; empty when `T` is no struct with named fields.
pub(super) fn of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // Always an error: there is no value to be had, only the question that serde asks.
    drop(T::deserialize(Question(&mut fields)));
    fields
}

/// Answers nothing; keeps the field names that a derived `Deserialize` asks for.
struct Question<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Question<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no struct with named fields"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("the names are known now"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only the names matter")]
    struct Sample {
        http: Option<String>,
        #[serde(rename = "allow-volume")]
        allow_volume: Option<String>,
    }

    #[test]
    fn names_come_in_the_order_of_the_struct_and_as_serde_calls_them() {
        assert_eq!(super::of::<Sample>(), ["http", "allow-volume"]);
    }

    #[test]
    fn what_is_no_struct_has_no_fields() {
        assert!(super::of::<Vec<String>>().is_empty());
    }
}
