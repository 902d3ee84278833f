//! Plays worlds from the command line.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use crossfade_worlds::mutant::Mutant;
use crossfade_worlds::runner;

/// Play whole fleets with faults, each from one number
#[derive(Debug, Parser)]
struct Args {
    /// How many worlds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first one's number
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Something that is wrong on purpose; see src/mutant.rs
    #[arg(long, value_parser = |name: &str| Mutant::named(name).ok_or("no such mutant"))]
    mutant: Option<Mutant>,
    /// Print everything that happens
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.trace {
        for seed in args.from..args.from + args.seeds {
            let played = runner::one(seed, args.mutant, true);
            println!("{}", played.trace.join("\n"));
            let outcome = played.failure.as_deref().unwrap_or("nothing was wrong");
            println!("seed {seed}: {outcome}; {}, digest {:016x}", played.phase, played.digest);
            if played.failure.is_some() {
                return ExitCode::FAILURE;
            }
        }
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    let tally = runner::many(args.from, args.seeds, args.mutant);
    if let Some((seed, failure)) = &tally.failed {
        println!("{}", runner::told(*seed, failure, args.mutant));
        return ExitCode::FAILURE;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} worlds, {} calls, {} faults, {} acts in {seconds:.1} s ({:.0} worlds a second); {} \
         false alarms; {:?}",
        tally.worlds,
        tally.calls,
        tally.faults,
        tally.acts,
        tally.worlds as f64 / seconds,
        tally.false_alarms,
        tally.phases
    );
    ExitCode::SUCCESS
}
