//! Which role may call what.

use model::Role;

use Role::{Compactor, Distributor, Ingester, Querier, Ruler};

const ALL: &[Role] = &Role::ALL;

/// By the beginning of the path; the first that fits counts. What is not named here nobody may call.
const RULES: [(&str, &[Role]); 22] = [
    ("/ouro.v1.Gossip/", ALL),
    ("/ouro.v1.Raft/", &[Ingester]),
    ("/ouro.v1.Groups/Status", ALL),
    ("/ouro.v1.Groups/Change", &[Ingester]),
    ("/ouro.v1.Ingest/Append", &[Distributor]),
    ("/ouro.v1.Ingest/Flush", &[Distributor, Querier, Ingester]),
    // Compactors ask whether heads still have rows that are to be deleted.
    ("/ouro.v1.Read/", &[Querier, Compactor]),
    ("/ouro.v1.Ranges/", &[Querier]),
    ("/ouro.v1.Slices/", &[Querier]),
    ("/ouro.v1.Control/Catalog", &[Ingester, Querier, Compactor]),
    ("/ouro.v1.Control/Propose", &[Ingester, Compactor]),
    ("/ouro.v1.Control/Delete", &[Ingester, Querier]),
    ("/ouro.v1.Control/Placement", ALL),
    ("/ouro.v1.Rules/", &[Ingester, Ruler]),
    ("/ouro.v1.Elections/", &[Ingester, Distributor]),
    // What a ruler knows of the groups that it evaluates.
    ("/ruler/", &[Ruler]),
    // Users ask queriers for rules too.
    ("/prometheus/api/v1/rules", &[Querier]),
    ("/prometheus/api/v1/alerts", &[Querier]),
    // The rules' queries and what they record travel as users' requests do.
    ("/loki/api/v1/push", &[Ruler]),
    ("/api/v1/push", &[Ruler]),
    ("/prometheus/", &[Ruler]),
    ("/loki/", &[Ruler]),
];

/// Whether a member of this role may ask for this path.
pub(crate) fn may(role: Role, path: &str) -> bool {
    RULES.iter().find(|(prefix, _)| path.starts_with(prefix)).is_some_and(|(_, roles)| roles.contains(&role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_call_what_they_need_and_nothing_else() {
        for (role, path, expected) in [
            (Distributor, "/ouro.v1.Ingest/Append", true),
            (Querier, "/ouro.v1.Ingest/Append", false),
            (Querier, "/ouro.v1.Read/Select", true),
            (Distributor, "/ouro.v1.Read/Select", false),
            (Querier, "/ouro.v1.Ranges/Read", true),
            (Compactor, "/ouro.v1.Ranges/Read", false),
            (Querier, "/ouro.v1.Slices/Fold", true),
            (Ingester, "/ouro.v1.Slices/Fold", false),
            (Compactor, "/ouro.v1.Control/Propose", true),
            (Distributor, "/ouro.v1.Control/Propose", false),
            (Querier, "/ouro.v1.Control/Propose", false),
            (Querier, "/ouro.v1.Control/Delete", true),
            (Distributor, "/ouro.v1.Control/Delete", false),
            (Ingester, "/ouro.v1.Raft/Send", true),
            (Compactor, "/ouro.v1.Raft/Send", false),
            (Ruler, "/prometheus/api/v1/query", true),
            (Querier, "/prometheus/api/v1/query", false),
            (Querier, "/prometheus/api/v1/rules", true),
            (Distributor, "/prometheus/api/v1/alerts", false),
            (Ruler, "/ouro.v1.Rules/Commit", true),
            (Querier, "/ouro.v1.Rules/Commit", false),
            (Distributor, "/ouro.v1.Elections/Elect", true),
            (Ruler, "/ouro.v1.Elections/Elect", false),
            (Ruler, "/ruler/groups", true),
            (Distributor, "/ruler/groups", false),
            (Ingester, "/ouro.v1.Unheard/Of", false),
            (Ingester, "", false),
        ] {
            assert_eq!(may(role, path), expected, "{role} {path}");
        }
        assert!(Role::ALL.iter().all(|role| may(*role, "/ouro.v1.Gossip/Tell")));
    }
}
