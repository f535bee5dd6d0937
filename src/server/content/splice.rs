//! Pages whose middle differs from visitor to visitor and whose rest is compressed only once.
//!
//! Deflate streams that end on a byte boundary can be put one behind the other, and the checksum
//! of the whole follows from those of the parts. So the large parts of a page are compressed when
//! they are first wanted, and the small middle is put between them for every request.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use http_body::{Body, Frame as BodyFrame, SizeHint};

use super::encoding::Encoding;
use crate::page_runtime::Frame;

/// Effort for what is compressed once.
const FRAME_LEVEL: u32 = 6;
/// Effort for what is compressed for every request.
const MIDDLE_LEVEL: u32 = 1;
/// Smaller middles are not worth being compressed.
const SMALLEST_COMPRESSED: usize = 1024;
/// Most bytes of an uncompressed block.
const BLOCK_BYTES: usize = u16::MAX as usize;
/// Magic number, deflate, no flags, no time, no system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The parts around the middle, ready to be sent.
#[derive(Debug)]
pub(super) struct SplicedPage {
    before: Bytes,
    after: Bytes,
    /// Checksums of the parts as they were, when they are compressed.
    checks: Option<(Crc, Crc)>,
}

impl SplicedPage {
    /// Prepares the parts. Anything but gzip is sent as it is.
    pub(super) fn new(frame: Frame, encoding: Encoding) -> io::Result<Self> {
        let Frame { before, after } = frame;
        match encoding {
            Encoding::Identity | Encoding::Brotli => Ok(Self { before, after, checks: None }),
            Encoding::Gzip => {
                let level = Compression::new(FRAME_LEVEL);
                let mut start = GZIP_HEADER.to_vec();
                start.extend(open_deflate(&before, level)?);
                let mut encoder = DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(&after)?;
                let checks = Some((check(&before), check(&after)));
                Ok(Self { before: start.into(), after: encoder.finish()?.into(), checks })
            }
        }
    }

    /// Bytes that the parts take.
    pub(super) fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// The whole page.
    pub(super) fn with(&self, middle: Bytes) -> io::Result<Pieces> {
        let Some((before, after)) = &self.checks else {
            return Ok(Pieces::new([self.before.clone(), middle, self.after.clone()]));
        };
        let mut whole = Crc::new();
        whole.combine(before);
        whole.combine(&check(&middle));
        whole.combine(after);
        let mut trailer = BytesMut::with_capacity(8);
        trailer.put_u32_le(whole.sum());
        trailer.put_u32_le(whole.amount());
        let middle = if middle.len() < SMALLEST_COMPRESSED {
            stored_deflate(&middle)
        } else {
            open_deflate(&middle, Compression::new(MIDDLE_LEVEL))?.into()
        };
        Ok(Pieces::new([self.before.clone(), middle, self.after.clone(), trailer.freeze()]))
    }
}

fn check(bytes: &[u8]) -> Crc {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc
}

/// A deflate stream that ends on a byte boundary and can go on.
fn open_deflate(bytes: &[u8], level: Compression) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(bytes)?;
    encoder.flush()?;
    Ok(std::mem::take(encoder.get_mut()))
}

/// The same without compression.
fn stored_deflate(bytes: &[u8]) -> Bytes {
    let mut blocks = BytesMut::with_capacity(bytes.len() + 5);
    for block in bytes.chunks(BLOCK_BYTES) {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        blocks.put_u8(0);
        blocks.put_u16_le(length);
        blocks.put_u16_le(!length);
        blocks.put_slice(block);
    }
    blocks.freeze()
}

/// A body of several pieces, none of which is copied.
#[derive(Debug)]
pub(super) struct Pieces {
    rest: VecDeque<Bytes>,
    bytes: u64,
}

impl Pieces {
    fn new<const COUNT: usize>(pieces: [Bytes; COUNT]) -> Self {
        let rest: VecDeque<Bytes> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let bytes = rest.iter().map(|piece| piece.len() as u64).sum();
        Self { rest, bytes }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        let piece = self.rest.pop_front();
        if let Some(piece) = &piece {
            self.bytes -= piece.len() as u64;
        }
        Poll::Ready(piece.map(|piece| Ok(BodyFrame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn sent(pieces: Pieces) -> Vec<u8> {
        let announced = pieces.bytes;
        let sent: Vec<u8> = pieces.rest.into_iter().flatten().collect();
        assert_eq!(announced, sent.len() as u64);
        sent
    }

    fn frame() -> Frame {
        Frame {
            before: Bytes::from("<!doctype html>".repeat(2000)),
            after: Bytes::from("<p>lorem ipsum</p>".repeat(2000)),
        }
    }

    #[test]
    fn any_middle_makes_a_valid_stream_of_the_whole_page() {
        let spliced = SplicedPage::new(frame(), Encoding::Gzip).unwrap();
        for length in [0, 1, 300, SMALLEST_COMPRESSED, 70_000, 200_000] {
            let middle: Vec<u8> = (0..length).map(|n| b"abcdefgh<>{}"[n * n % 12]).collect();
            let body = sent(spliced.with(Bytes::from(middle.clone())).unwrap());
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
            let expected = [&frame().before[..], &middle, &frame().after].concat();
            assert!(plain == expected, "{length}");
            assert!(body.len() < expected.len() / 2);
        }
    }

    #[test]
    fn without_a_coding_the_parts_are_sent_as_they_are() {
        let spliced = SplicedPage::new(frame(), Encoding::Identity).unwrap();
        let body = sent(spliced.with(Bytes::from_static(b"{}")).unwrap());
        assert_eq!(body, [&frame().before[..], b"{}", &frame().after].concat());
    }
}
