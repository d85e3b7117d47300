//! Which files are read, and what is said of those that are not.

use super::*;

fn read_one(text: &str) -> Result<Vec<Arc<Group>>, Error> {
    let name = (TenantId::new("team-a").expect("a name"), "rules.yaml".to_owned());
    groups(&name, text, Duration::from_secs(60))
}

/// The fixture is good to promtool, which `tests/real/ruler.py` asks.
const FIXTURE: &str = include_str!("../../tests/fixtures/rules.yaml");

#[test]
fn rule_files_are_those_of_prometheus() {
    let groups = read_one(FIXTURE).expect("reads");
    assert_eq!(groups.len(), 2);
    let (first, second) = (&groups[0], &groups[1]);
    assert_eq!((first.tenant.as_str(), first.interval, first.limit), ("team-a", Duration::from_secs(15), 0));
    assert_eq!((second.interval, second.limit), (Duration::from_secs(60), 10));
    assert_eq!((first.rules[0].name.as_str(), first.rules[0].alert.is_none()), ("job:up:sum", true));
    let alert = second.rules[0].alert.as_ref().expect("an alert");
    assert_eq!((alert.hold, alert.keep), (Duration::from_secs(300), Duration::from_secs(600)));
    assert!(read_one("").expect("reads").is_empty() && read_one("groups: []\n").expect("reads").is_empty());
}

#[test]
fn groups_have_labels_and_offsets() {
    let text = "groups:\n- {name: g, labels: {a: '1', b: '1'}, query_offset: 30s, rules: [{record: r, expr: up, labels: {b: '2'}}]}\n";
    let groups = read_one(text).expect("reads");
    let labels: Vec<_> = groups[0].rules[0].labels.iter().map(|(n, v)| format!("{n}{v}")).collect();
    assert_eq!((labels, groups[0].offset), (vec!["a1".to_owned(), "b2".to_owned()], Duration::from_secs(30)));
}

#[test]
fn mistakes_name_file_group_and_rule() {
    for (rule, words) in [
        ("{record: r, expr: 'sum('}", &["group g", "rule r", "parse expression"][..]),
        ("{expr: up}", &["record"]),
        ("{record: r, alert: a, expr: up}", &["only one of"]),
        ("{record: 'a b', expr: up}", &["invalid recording rule name"]),
        ("{record: r, expr: up, for: 1m}", &["invalid field 'for'"]),
        ("{record: r, expr: up, annotations: {a: b}}", &["annotations"]),
        ("{record: r, expr: up, labels: {__name__: b}}", &["invalid label name"]),
        ("{alert: A, expr: up, labels: {'a-b': b}}", &["rule A", "invalid label name"]),
        ("{alert: A, expr: up, for: soon}", &["soon"]),
        ("{alert: A, expr: up, annotations: {s: '{{ nosuch }}'}}", &["rule A", "nosuch"]),
        ("{alert: A, expr: up, severity: high}", &["rules.yaml", "severity"]),
    ] {
        let text = format!("groups:\n- name: g\n  rules:\n  - {rule}\n");
        let error = read_one(&text).expect_err(rule).to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is not in {error:?}"));
    }
    for (text, word) in [
        ("groups:\n- name: g\n  interval: soon\n", "interval"),
        ("groups:\n- name: g\n- name: g\n", "twice"),
        ("groups:\n- name: ''\n", "no name"),
        ("rules: []\n", "rules.yaml"),
        ("groups: 7", "rules.yaml"),
        ("\u{0}", "rules.yaml"),
    ] {
        let error = read_one(text).expect_err(text).to_string();
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}

#[test]
fn folders_are_tenants_and_dots_are_left_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        std::fs::write(path, text).expect("written");
    };
    write("a/..2026/r.yaml", "groups: []");
    std::os::unix::fs::symlink("..2026", dir.path().join("a/..data")).expect("linked");
    std::os::unix::fs::symlink("..data/r.yaml", dir.path().join("a/r.yaml")).expect("linked");
    write("a/notes.txt", "no rules");
    write("b/large.yml", &" ".repeat(MAX_FILE as usize + 1));
    write("..data/x.yaml", "no tenant");
    write("bad name!/x.yaml", "no tenant either");
    let texts = read(dir.path());
    let names: Vec<String> = texts.files.keys().map(|(tenant, file)| format!("{tenant}/{file}")).collect();
    assert_eq!(names, ["a/r.yaml", "b/large.yml"]);
    assert!(texts.files.values().nth(1).is_some_and(|text| text.is_err()));
    assert_eq!(texts.faults.len(), 1, "{:?}", texts.faults);
    assert_eq!(read(Path::new("")), Texts::default());
    assert_eq!(read(&dir.path().join("none")).faults.len(), 1);
}
