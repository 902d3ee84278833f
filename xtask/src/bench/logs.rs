//! Access logs, replayed and counted.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use super::process::Program;
use super::table::{Limit, Row};
use crate::command::{TaskError, root};

/// How often the example's 10,000 lines follow each other.
const TIMES: u64 = 100;

/// Lines a second of CPU, as they are read from a file.
pub(super) fn rows(built: &Path) -> Result<Vec<Row>, TaskError> {
    let example = root().join("examples/access.log");
    let read = |source| TaskError::Read { path: example.display().to_string(), source };
    let text = std::fs::read(&example).map_err(read)?;
    let lines = TIMES * text.iter().filter(|byte| **byte == b'\n').count() as u64;
    let file = built.join("bench-access.log");
    let write = |source| TaskError::Write { path: file.display().to_string(), source };
    let mut many = BufWriter::new(File::create(&file).map_err(write)?);
    (0..TIMES).try_for_each(|_| many.write_all(&text)).map_err(write)?;
    many.into_inner().map_err(|error| write(error.into_error()))?;
    let crossfade = built.join("crossfade");
    let rate = |args: &'static [&'static str]| {
        let program = Program::new(crossfade.clone(), args);
        let seconds = (0..3).map(|_| program.cpu_s(&file)).collect::<Result<Vec<f64>, _>>()?;
        Ok::<f64, TaskError>(lines as f64 / seconds.into_iter().fold(f64::INFINITY, f64::min))
    };
    let census = rate(&["replay", "-", "--census", "--output", "json"])?;
    let replay = rate(&["replay", "-", "--policy", "examples/plan.yaml", "--output", "json"])?;
    let unit = "lines a CPU second";
    Ok(vec![
        Row::new("replay --census", census, unit, Limit::AtLeast(300_000.0)),
        Row::new("replay of a plan", replay, unit, Limit::None),
    ])
}
