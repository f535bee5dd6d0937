//! The dependencies that code names in a header of comments (PEP 723).

use serde::Deserialize;

use crate::sandbox::SandboxError;

const BEGIN: &str = "# /// script";
const END: &str = "# ///";
/// Dependencies of one script.
const MOST: usize = 50;
const LONGEST: usize = 200;

/// What a header asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Header {
    pub(super) dependencies: Vec<String>,
    pub(super) requires_python: Option<String>,
}

/// Reads the header of code, if it has one.
pub(super) fn read(code: &str) -> Result<Option<Header>, SandboxError> {
    let mut lines = code.lines().map(str::trim_end);
    if !lines.by_ref().any(|line| line == BEGIN) {
        return Ok(None);
    }
    let block: Vec<&str> =
        lines.by_ref().take_while(|line| *line == "#" || line.starts_with("# ")).collect();
    let Some(end) = block.iter().rposition(|line| *line == END) else {
        return Err(wrong("it has no closing line `# ///`"));
    };
    if lines.any(|line| line == BEGIN) {
        return Err(wrong("there are two of them"));
    }
    let text: Vec<&str> =
        block.iter().take(end).map(|line| line.strip_prefix("# ").unwrap_or_default()).collect();
    let header: Header =
        toml::from_str(&text.join("\n")).map_err(|error| wrong(error.message()))?;
    if header.dependencies.len() > MOST {
        return Err(wrong(&format!("more than {MOST} dependencies")));
    }
    for dependency in &header.dependencies {
        check(dependency)?;
    }
    Ok(Some(header))
}

fn wrong(reason: &str) -> SandboxError {
    SandboxError::InvalidSpec(format!("the script header of the code cannot be used: {reason}"))
}

/// A name with extras, versions and markers: nothing that reads a file, an address or an option.
fn check(dependency: &str) -> Result<(), SandboxError> {
    let (requirement, _marker) = dependency.split_once(';').unwrap_or((dependency, ""));
    let allowed =
        |letter: char| letter.is_ascii_alphanumeric() || " ._-[],<>=!~*+()".contains(letter);
    let marked = |letter: char| letter.is_ascii() && !letter.is_ascii_control();
    if dependency.len() <= LONGEST
        && requirement.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && requirement.chars().all(allowed)
        && dependency.chars().all(marked)
    {
        return Ok(());
    }
    let shown: String = dependency.escape_default().take(100).collect();
    Err(wrong(&format!("`{shown}` is no plain dependency such as `httpx>=0.27`")))
}

/// Whether a version fits `requires-python`; what cannot be read does not fit.
pub(super) fn fits(requirement: &str, version: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u32>> {
        text.trim().split('.').map(|part| part.parse().ok()).collect()
    };
    let Some(have) = numbers(version) else { return false };
    requirement.split(',').map(str::trim).filter(|part| !part.is_empty()).all(|part| {
        let split = part.find(|letter: char| letter.is_ascii_digit()).unwrap_or(part.len());
        let (operator, wanted) = part.split_at(split);
        let (wanted, any) = match wanted.strip_suffix(".*") {
            Some(prefix) => (prefix, true),
            None => (wanted, false),
        };
        let Some(wanted) = numbers(wanted) else { return false };
        let same = |length: usize| have.iter().take(length).eq(wanted.iter().take(length));
        match operator.trim() {
            ">=" => have >= wanted,
            ">" => have > wanted && !same(wanted.len()),
            "<=" => have <= wanted || same(wanted.len()),
            "<" => have < wanted,
            "~=" => have >= wanted && same(wanted.len().saturating_sub(1)),
            "==" if any => same(wanted.len()),
            "==" => have == wanted,
            "!=" if any => !same(wanted.len()),
            "!=" => have != wanted,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_standard_says() {
        let code = "#!/usr/bin/env python\n# /// script\n# requires-python = \">=3.10\"\n# dependencies = [\n#   \"rich>=13 ; python_version > '3.8'\",\n#   \"numpy[dev]==1.*\",\n# ]\n# ///\nprint(1)\n";
        let header = read(code).unwrap().unwrap();
        assert_eq!(header.dependencies, ["rich>=13 ; python_version > '3.8'", "numpy[dev]==1.*"]);
        assert_eq!(header.requires_python.as_deref(), Some(">=3.10"));
        for none in ["", "print(1)", "# /// other\n# a = 1\n# ///\n", "x = '# /// script'"] {
            assert_eq!(read(none).unwrap(), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_plain_dependency_is_refused() {
        for bad in [
            "--index-url=x",
            "x @ file:///etc/passwd",
            "./folder",
            "git+https://example.invalid/x",
            "x\\u0000",
            "-r other.txt",
            "",
        ] {
            let code = format!("# /// script\n# dependencies = [\"{bad}\"]\n# ///\n");
            let error = read(&code).unwrap_err();
            assert!(error.to_string().contains("no plain dependency"), "{bad}: {error}");
        }
        for bad in
            ["# /// script\n# dependencies = []\n", "# /// script\n# dependencies = 1\n# ///"]
        {
            assert_eq!(read(bad).unwrap_err().code(), "invalid_arguments");
        }
    }

    #[test]
    fn versions_are_compared() {
        for fitting in [">=3.10", ">=3.10,<3.13", "~=3.11", "==3.11.*", "!=3.12", ">3.10", ""] {
            assert!(fits(fitting, "3.11.2"), "{fitting}");
        }
        for other in [">=3.12", "<3.11", "==3.10.*", ">3.11", "3.11", "~=3.12", ">=x"] {
            assert!(!fits(other, "3.11.2"), "{other}");
        }
    }
}
