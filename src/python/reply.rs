//! The one program in a model's answer.

/// What is wrong with an answer, in words for the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReplyProblem {
    /// Nothing at all.
    #[error("the answer is empty")]
    Empty,
    /// A fence without anything in it.
    #[error("the code block is empty")]
    EmptyBlock,
    /// More than one program.
    #[error("the answer has {0} code blocks; write one that holds the whole program")]
    SeveralBlocks(usize),
    /// The last fence is missing.
    #[error("the answer broke off inside its code block; write a shorter program that is complete")]
    Unclosed,
}

/// A fenced block of an answer.
struct Block<'text> {
    language: &'text str,
    lines: Vec<&'text str>,
    is_closed: bool,
}

/// The program: what stands in the one fenced block, or the whole answer when there is none.
///
/// # Errors
/// Why there is no one program.
pub(super) fn program(reply: &str) -> Result<String, ReplyProblem> {
    if reply.trim().is_empty() {
        return Err(ReplyProblem::Empty);
    }
    let blocks = blocks(reply);
    let is_python = |block: &&Block<'_>| {
        matches!(block.language.to_ascii_lowercase().as_str(), "python" | "py" | "python3")
    };
    let mut wanted: Vec<&Block<'_>> = blocks.iter().filter(is_python).collect();
    if wanted.is_empty() {
        wanted = blocks.iter().collect();
    }
    let text = match wanted.as_slice() {
        [] => reply.trim().to_owned(),
        [block] if !block.is_closed => return Err(ReplyProblem::Unclosed),
        [block] => block.lines.join("\n"),
        several => return Err(ReplyProblem::SeveralBlocks(several.len())),
    };
    if text.trim().is_empty() {
        return Err(ReplyProblem::EmptyBlock);
    }
    Ok(format!("{}\n", text.trim_matches('\n').trim_end()))
}

/// Fenced blocks. A fence ends where a line has at least as many of the same marks and nothing
/// else, so a program may hold shorter fences in its strings.
fn blocks(reply: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut open: Option<(char, usize, Block<'_>)> = None;
    for line in reply.lines() {
        let trimmed = line.trim();
        match &mut open {
            None => {
                if let Some((mark, count)) = fence(trimmed) {
                    let language = trimmed.trim_start_matches(mark).trim();
                    let language = language.split([' ', '{']).next().unwrap_or_default();
                    open = Some((mark, count, Block { language, lines: vec![], is_closed: false }));
                }
            }
            Some((mark, count, block)) => {
                let ends = fence(trimmed).is_some_and(|(end, length)| {
                    end == *mark && length >= *count && trimmed.len() == length
                });
                if ends {
                    block.is_closed = true;
                    blocks.extend(open.take().map(|(_, _, block)| block));
                } else {
                    block.lines.push(line);
                }
            }
        }
    }
    blocks.extend(open.map(|(_, _, block)| block));
    blocks
}

/// The mark and length of a fence that begins a line.
fn fence(line: &str) -> Option<(char, usize)> {
    let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let count = line.chars().take_while(|letter| *letter == mark).count();
    (count >= 3).then_some((mark, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_block_is_the_program() {
        for reply in [
            "```python\nx = 1\n```",
            "Here it is:\n```py\nx = 1\n```\nEnjoy.",
            "~~~\nx = 1\n\n~~~",
            "x = 1",
            "\n  ```Python3 {.numbered}\nx = 1\n  ```",
            "```\nsome output\n```\n```python\nx = 1\n```",
            "````python\nx = 1\n````",
        ] {
            assert_eq!(program(reply).as_deref(), Ok("x = 1\n"), "{reply}");
        }
        let nested = "````python\ntext = '''\n```\n'''\n````";
        assert_eq!(program(nested).as_deref(), Ok("text = '''\n```\n'''\n"));
        assert_eq!(program("```python\r\nx = 1\r\n```\r\n").as_deref(), Ok("x = 1\n"));
    }

    #[test]
    fn other_answers_say_what_is_wrong() {
        for (reply, problem) in [
            ("", ReplyProblem::Empty),
            (" \n", ReplyProblem::Empty),
            ("```python\n\n```", ReplyProblem::EmptyBlock),
            ("```python\na\n```\n```python\nb\n```", ReplyProblem::SeveralBlocks(2)),
            ("```python\nfor x in", ReplyProblem::Unclosed),
        ] {
            assert_eq!(program(reply), Err(problem), "{reply}");
        }
    }
}
