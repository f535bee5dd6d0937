//! Output of a run: all of it is counted, its beginning and end are kept.

use std::collections::VecDeque;

use crate::sandbox::Captured;

/// One stream.
#[derive(Debug)]
pub(super) struct Capture {
    keep: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    bytes: u64,
    /// The beginning of a character whose rest has not come yet.
    partial: Vec<u8>,
}

impl Capture {
    /// Keeps `keep` bytes of the beginning and as many of the end.
    pub(super) fn new(keep: usize) -> Self {
        Self { keep, head: Vec::new(), tail: VecDeque::new(), bytes: 0, partial: Vec::new() }
    }

    /// Takes a piece in.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let room = self.keep.saturating_sub(self.head.len()).min(piece.len());
        let (first, rest) = piece.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(self.keep);
        self.tail.drain(..excess);
    }

    /// How much came.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A piece as text for whoever follows along; a character cut in two is held back.
    pub(super) fn text_of(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend_from_slice(piece);
        let whole = match std::str::from_utf8(&bytes) {
            // An error without a length is a character that goes on in the next piece.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => bytes.len(),
        };
        self.partial = bytes.split_off(whole);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// All that is kept.
    pub(super) fn finish(self) -> Captured {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let omitted = self.bytes - kept;
        let tail: Vec<u8> = self.tail.into();
        let text = if omitted == 0 {
            let mut whole = self.head;
            whole.extend(tail);
            String::from_utf8_lossy(&whole).into_owned()
        } else {
            format!(
                "{}\n[{omitted} bytes omitted]\n{}",
                String::from_utf8_lossy(&self.head),
                String::from_utf8_lossy(&tail)
            )
        };
        Captured { text, bytes: self.bytes, omitted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_output_is_kept_whole() {
        let mut capture = Capture::new(4);
        capture.push(b"abcdef");
        capture.push(b"gh");
        assert_eq!(capture.finish(), Captured { text: "abcdefgh".into(), bytes: 8, omitted: 0 });
    }

    #[test]
    fn the_middle_of_long_output_is_left_out() {
        let mut capture = Capture::new(4);
        for piece in [&b"abcdef"[..], b"ghi", b"jklmnop"] {
            capture.push(piece);
        }
        let captured = capture.finish();
        assert_eq!(captured.text, "abcd\n[8 bytes omitted]\nmnop");
        assert_eq!((captured.bytes, captured.omitted), (16, 8));
    }

    #[test]
    fn a_character_cut_in_two_is_shown_once_whole() {
        let mut capture = Capture::new(4);
        let bytes = "é".as_bytes();
        assert_eq!(capture.text_of(&bytes[..1]), "");
        assert_eq!(capture.text_of(&bytes[1..]), "é");
        assert_eq!(capture.text_of(b"\xff"), "\u{fffd}");
    }
}
