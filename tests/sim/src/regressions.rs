//! Seeds that found a defect once, and what it was: they are run by themselves, and stay.

/// A seed may tell another story when the simulation changes; then it is one more among many.
pub const FOUND: &[(u64, &str)] = &[
    (
        40,
        "a head that was made again from the log after another leader's flush had batches that are repeated in it twice",
    ),
    (56, "the same, with the first of the two in a segment already"),
    (70, "who asked a leader to flush, and to say when it is done, waited for ever when it lost the lead meanwhile"),
    (
        502,
        "after a loss of power members began again from before a change of members that had been committed, and asked \
         for the votes of one that had been removed since",
    ),
    (814, "the same, before new shards were open for writes"),
    (1379, "a leader that lost the lead and was fed a snapshot in the same moment never heard that it no longer leads"),
    (
        4633,
        "shards that were added before the first ones were open for writes were opened with them, without the grace that \
         readers need",
    ),
];
