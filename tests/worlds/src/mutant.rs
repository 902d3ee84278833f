//! Worlds in which something is wrong on purpose: each must be noticed, or its check could
//! not fail.

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// An edge takes whatever policy comes, also an older one.
    TakesOlderPolicies,
    /// An edge mixes another salt into its buckets.
    AnotherSalt,
    /// An edge sends some calls at random.
    DecidesByChance,
    /// An edge keeps the share that it had when the new version is taken back.
    KeepsShareAfterRollback,
    /// An edge that cannot reach its server answers nothing.
    WaitsForTheServer,
    /// An edge reports its totals a second time as another life of it.
    CountsTwice,
    /// The network acknowledges totals and delivers none.
    SwallowsTotals,
    /// A report of clients is counted again under the next number.
    RepeatsClients,
    /// The network acknowledges reports of clients and delivers none.
    SwallowsClients,
    /// Of what a standby hands on, only the newest line of a node is kept, whatever it is.
    KeepsOneLine,
    /// Of what standbys hand on, the line of a node that came last is kept, also an older one.
    KeepsTheLaterLine,
    /// The store acknowledges commits and keeps none.
    ForgetsCommits,
    /// The store leaves a commit out when it is read.
    SkipsACommit,
    /// The store lets anybody write.
    Unfenced,
    /// The store reads a number back that it was not given: the time of the last commit.
    ForgetsTheTime,
    /// A command that was answered late is done again.
    ActsTwice,
    /// Whoever serves commands does not look at their keys.
    IgnoresKeys,
    /// The store keeps no receipts.
    ForgetsReceipts,
    /// A commit of which nobody knows whether it was kept is said not to be.
    ClaimsNotDone,
    /// A leader answers questions whatever its lease says.
    AnswersWithoutLease,
    /// The controller promotes by itself.
    PromotesByItself,
    /// One edge is never reached again.
    EdgeStaysAway,
    /// After the faults, time does not act any more.
    TimeStops,
}

impl Mutant {
    /// Every one.
    pub const ALL: [Mutant; 23] = [
        Mutant::TakesOlderPolicies,
        Mutant::AnotherSalt,
        Mutant::DecidesByChance,
        Mutant::KeepsShareAfterRollback,
        Mutant::WaitsForTheServer,
        Mutant::CountsTwice,
        Mutant::SwallowsTotals,
        Mutant::RepeatsClients,
        Mutant::SwallowsClients,
        Mutant::KeepsOneLine,
        Mutant::KeepsTheLaterLine,
        Mutant::ForgetsCommits,
        Mutant::SkipsACommit,
        Mutant::Unfenced,
        Mutant::ForgetsTheTime,
        Mutant::ActsTwice,
        Mutant::IgnoresKeys,
        Mutant::ForgetsReceipts,
        Mutant::ClaimsNotDone,
        Mutant::AnswersWithoutLease,
        Mutant::PromotesByItself,
        Mutant::EdgeStaysAway,
        Mutant::TimeStops,
    ];

    /// The name, for the command line.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Mutant> {
        Mutant::ALL.into_iter().find(|mutant| mutant.name().eq_ignore_ascii_case(name))
    }
}
