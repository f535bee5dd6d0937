//! PDF documents against a real Chrome: what is printed, edited, refused, and what models may call.

mod edits;
mod faults;
mod files;
mod making;
mod page;
mod tools;

/// A short report that a model could write.
pub(super) const REPORT: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<title>Harbour report</title>
<style>
html { print-color-adjust: exact }
h2 { break-before: page }
.mark { background: #c00; height: 40mm }
</style>
</head>
<body>
<h1>Harbour report</h1>
<div class=\"mark\"></div>
<p>Forty ships came in spring.</p>
<h2>Summer</h2>
<p>Sixty ships came in summer.</p>
<h2>Autumn</h2>
<p>Fifty ships came in autumn.</p>
</body>
</html>
";
