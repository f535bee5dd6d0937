//! Tools over jobs and completions.
