//! A job's log on stdout: the bytes as they are, or line by line with times and ids in front.

use std::collections::HashMap;
use std::io;

use atlas_proto::wire::LogChunk;
use tokio::io::{AsyncWriteExt, Stdout};

use crate::time::rfc3339;

/// A line that goes on for longer is cut, so that a job without newlines cannot fill the memory.
const LONGEST_LINE: usize = 64 << 10;

/// Writes the logs of one job or of several.
#[derive(Debug)]
pub struct LogWriter {
    out: Stdout,
    lines: Option<Lines>,
    /// The last byte was no newline.
    open: bool,
}

/// What stands in front of each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The beginning of the job's id.
    pub ids: bool,
    pub times: bool,
}

/// Puts marks in front of lines. Of each job only whole lines are written, so that those of several do not mix.
#[derive(Debug)]
struct Lines {
    marks: Marks,
    begun: HashMap<String, Begun>,
}

/// A line whose end has not come yet.
#[derive(Debug, Default)]
struct Begun {
    line: Vec<u8>,
    at_ms: u64,
}

impl LogWriter {
    pub fn new(marks: Marks) -> Self {
        let lines = (marks != Marks::default()).then(|| Lines { marks, begun: HashMap::new() });
        Self { out: tokio::io::stdout(), lines, open: false }
    }

    /// Writes a piece of this job's log.
    pub async fn write(&mut self, job: &str, chunk: &LogChunk) -> io::Result<()> {
        match &mut self.lines {
            None => self.out.write_all(&chunk.data).await?,
            Some(lines) => self.out.write_all(&lines.take(job, chunk)).await?,
        }
        if let Some(last) = chunk.data.last() {
            self.open = self.lines.is_none() && *last != b'\n';
        }
        self.out.flush().await
    }

    /// Writes what is left of lines without an end.
    pub async fn finish(&mut self) -> io::Result<()> {
        if let Some(lines) = &mut self.lines {
            self.out.write_all(&lines.rest()).await?;
        }
        self.out.flush().await
    }

    /// Whether the terminal's cursor stands behind text.
    pub const fn is_open(&self) -> bool {
        self.open
    }
}

impl Lines {
    fn take(&mut self, job: &str, chunk: &LogChunk) -> Vec<u8> {
        let mut whole = Vec::new();
        let begun = match self.begun.get_mut(job) {
            Some(begun) => begun,
            None => self.begun.entry(job.to_owned()).or_default(),
        };
        for piece in chunk.data.split_inclusive(|it| *it == b'\n') {
            if begun.line.is_empty() {
                begun.at_ms = chunk.at_ms;
            }
            let mut piece = piece;
            while begun.line.len() + piece.len() > LONGEST_LINE {
                let (head, tail) = piece.split_at(LONGEST_LINE - begun.line.len());
                begun.line.extend_from_slice(head);
                self.marks.write(job, begun, &mut whole);
                piece = tail;
            }
            begun.line.extend_from_slice(piece);
            if begun.line.ends_with(b"\n") {
                self.marks.write(job, begun, &mut whole);
            }
        }
        whole
    }

    fn rest(&mut self) -> Vec<u8> {
        let mut whole = Vec::new();
        for (job, mut begun) in self.begun.drain().filter(|it| !it.1.line.is_empty()) {
            self.marks.write(&job, &mut begun, &mut whole);
        }
        whole
    }
}

impl Marks {
    fn write(self, job: &str, begun: &mut Begun, to: &mut Vec<u8>) {
        if self.ids {
            to.extend_from_slice(crate::views::short(job).as_bytes());
            to.push(b' ');
        }
        if self.times {
            // As wide as a time, where none is known.
            let time = if begun.at_ms == 0 { format!("{:24}", "-") } else { rfc3339(begun.at_ms) };
            to.extend_from_slice(time.as_bytes());
            to.push(b' ');
        }
        to.append(&mut begun.line);
        if !to.ends_with(b"\n") {
            to.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(marks: Marks) -> Lines {
        Lines { marks, begun: HashMap::new() }
    }

    fn chunk(text: &str, at_ms: u64) -> LogChunk {
        LogChunk { offset: 0, data: text.to_owned().into(), at_ms, notice: String::new() }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_of_several_jobs_do_not_mix() {
        let mut lines = lines(Marks { ids: true, times: false });
        let (one, two) = ("11111111-1111", "22222222-2222");
        assert_eq!(text(lines.take(one, &chunk("a", 0))), "");
        assert_eq!(text(lines.take(two, &chunk("b\nc", 0))), "22222222 b\n");
        assert_eq!(text(lines.take(one, &chunk("A\n", 0))), "11111111 aA\n");
        assert_eq!(text(lines.rest()), "22222222 c\n");
        assert_eq!(text(lines.rest()), "");
    }

    #[test]
    fn a_line_has_the_time_of_its_beginning() {
        let mut lines = lines(Marks { ids: false, times: true });
        assert_eq!(text(lines.take("j", &chunk("a", 1000))), "");
        assert_eq!(
            text(lines.take("j", &chunk("b\n\n", 2000))),
            "1970-01-01T00:00:01.000Z ab\n1970-01-01T00:00:02.000Z \n"
        );
        assert_eq!(text(lines.take("j", &chunk("c\n", 0))), "-                        c\n");
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut lines = lines(Marks { ids: true, times: false });
        let written = lines.take("12345678", &chunk(&"x".repeat(LONGEST_LINE * 2 + 3), 0));
        assert_eq!(written.iter().filter(|it| **it == b'\n').count(), 2);
        assert_eq!(text(lines.rest()), "12345678 xxx\n");
    }
}
