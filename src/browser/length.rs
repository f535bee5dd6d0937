//! Lengths on paper.

use super::RenderError;

/// A length, kept in inches since that is what Chrome takes.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Length {
    inches: f64,
}

impl Length {
    /// No length.
    pub const ZERO: Self = Self { inches: 0.0 };

    /// So many millimetres.
    pub const fn millimetres(millimetres: f64) -> Self {
        Self { inches: millimetres / 25.4 }
    }

    /// So many inches.
    pub const fn inches(inches: f64) -> Self {
        Self { inches }
    }

    /// In inches.
    pub const fn as_inches(self) -> f64 {
        self.inches
    }

    /// In CSS pixels.
    pub fn as_pixels(self) -> f64 {
        self.inches * 96.0
    }

    /// Reads `210mm`, `8.5in`, `20 px`.
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, RenderError> {
        let wrong = |problem: &str| {
            RenderError::option(
                field,
                format!(
                    "is `{}`: {problem}; write a number and mm, cm, in, px or pt, such as `20mm`",
                    shorten(text)
                ),
            )
        };
        let trimmed = text.trim();
        let split = trimmed
            .find(|letter: char| letter.is_ascii_alphabetic() && letter != 'e' && letter != 'E')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let number: f64 = number.trim().parse().map_err(|_| wrong("it has no number"))?;
        if !number.is_finite() {
            return Err(wrong("the number is not finite"));
        }
        if number < 0.0 {
            return Err(wrong("it is negative"));
        }
        let per_inch = match unit.trim().to_ascii_lowercase().as_str() {
            "mm" => 25.4,
            "cm" => 2.54,
            "in" => 1.0,
            "px" => 96.0,
            "pt" => 72.0,
            "" if number == 0.0 => 1.0,
            "" => return Err(wrong("it has no unit")),
            _ => return Err(wrong("the unit is unknown")),
        };
        Ok(Self { inches: number / per_inch })
    }
}

impl std::fmt::Display for Length {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} mm", (self.inches * 25.4 * 10.0).round() / 10.0)
    }
}

/// The beginning of a text, for an error.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_mean_what_css_means() {
        for (text, inches) in [
            ("25.4mm", 1.0),
            ("2.54 cm", 1.0),
            ("1in", 1.0),
            ("96px", 1.0),
            (" 72PT ", 1.0),
            ("0", 0.0),
        ] {
            let length = Length::parse("size.width", text).unwrap();
            assert!((length.as_inches() - inches).abs() < 1e-9, "{text}: {length:?}");
        }
    }

    #[test]
    fn wrong_lengths_are_refused_with_their_field() {
        for (text, reason) in [
            ("", "no number"),
            ("mm", "no number"),
            ("20", "no unit"),
            ("20em", "no number"),
            ("20 furlongs", "unknown"),
            ("-1mm", "negative"),
            ("1e999mm", "not finite"),
            ("NaN", "no number"),
        ] {
            let error = Length::parse("margins.top", text).unwrap_err().to_string();
            assert!(
                error.starts_with("`margins.top`") && error.contains(reason),
                "{text}: {error}"
            );
        }
    }
}
