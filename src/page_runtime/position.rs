//! Where scripts may be put into a page so that they run before its own.
//!
//! They go right behind the opening tags `<html>` and `<head>`, where the page's markup means the
//! same as without them. Only what may stand before a script is skipped: a byte order mark,
//! blanks, comments, the doctype and these two tags, so nothing of the page runs earlier.

/// Where the first element of the head may stand.
pub(super) fn head_start(page: &[u8]) -> usize {
    let mut rest = page.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(page);
    // Behind the byte order mark: in front of it, the mark would become text of the body.
    let mut position = page.len() - rest.len();
    loop {
        rest = rest.trim_ascii_start();
        let skipped = if rest.starts_with(b"<!--") {
            comment_length(rest)
        } else if is_tag(rest, b"<!doctype") {
            // The first `>` ends a doctype, quoted or not.
            rest.iter().position(|byte| *byte == b'>').map(|at| at + 1)
        } else if is_tag(rest, b"<html") {
            tag_length(rest)
        } else if is_tag(rest, b"<head") {
            return tag_length(rest).map_or(position, |length| page.len() - rest.len() + length);
        } else {
            None
        };
        let Some(next) = skipped.and_then(|length| rest.get(length..)) else { return position };
        rest = next;
        position = page.len() - rest.len();
    }
}

/// Whether the text starts with this tag's name as a whole word.
fn is_tag(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(start))
        && text
            .get(start.len())
            .is_some_and(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))
}

/// Length of a comment, when it ends. `<!-->` and `<!--->` are whole comments.
fn comment_length(text: &[u8]) -> Option<usize> {
    if text.starts_with(b"<!-->") {
        return Some(5);
    }
    if text.starts_with(b"<!--->") {
        return Some(6);
    }
    let body = text.get(4..)?;
    let ends = [&b"-->"[..], b"--!>"];
    ends.iter()
        .filter_map(|end| {
            body.windows(end.len()).position(|window| window == *end).map(|at| 4 + at + end.len())
        })
        .min()
}

/// Length of a tag up to its `>`, outside quoted values.
fn tag_length(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    let mut previous = b' ';
    for (index, byte) in text.iter().copied().enumerate() {
        match quote {
            Some(open) if byte == open => quote = None,
            None if byte == b'>' => return Some(index + 1),
            // A quote opens a value only behind `=`; elsewhere it is part of a name.
            None if matches!(byte, b'"' | b'\'') && previous == b'=' => quote = Some(byte),
            Some(_) | None => {}
        }
        if !byte.is_ascii_whitespace() {
            previous = byte;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where scripts land, shown as `|`.
    fn marked(page: &str) -> String {
        let (before, after) = page.split_at(head_start(page.as_bytes()));
        format!("{before}|{after}")
    }

    #[test]
    fn scripts_stand_first_in_the_head() {
        let cases = [
            "<!doctype html><html lang=\"en\"><head>|<meta charset=utf-8>",
            "\u{feff}<!DOCTYPE html>\n<!-- > -->\n<HTML class='a>b'>\n <HEAD prefix=\"og: x>y\">|<title>",
            "<!doctype html>|<title>x</title><script>1</script>",
            "<!doctype html><html>|<body><head>",
            "<!doctype html PUBLIC \"-//W3C//DTD XHTML 1.0//EN\" \"http://x>|y\"><html><head>",
            "<!--><html><head>|",
            "<!-- a --!><html><head>|<script>",
            "\u{feff}|text",
            "|text",
            "|",
            "<!doctype html>|<header>",
            "<html data-x = \"a>b\"><head/>|<script>",
            "|<!-- never closed <head>",
            "|<html lang=\"en",
            "<html>|<script>1</script><head>",
        ];
        for expected in cases {
            assert_eq!(marked(&expected.replace('|', "")), expected);
        }
    }
}
