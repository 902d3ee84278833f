use proptest::prelude::*;

use super::*;

const WHOLE: &str = r#"{"type":"report_clients","node":"edge \"1\"","epoch":"00000000000000a1","sequence":18446744073709551615,
"revision":4,"more":true,"theta":"ff","dropped":3,"versions":["v1","v\u00e9"],"else":{"a":[1,-2.5e3,null,true,{}],"b":"\\"},
"clients":[ {"key":"ann","on":1,"counts":[[1,3,1,5,9],[0,1,0,4294967295,0]],"refused":2,"agent":"lib/1.0","says":"ready"},
{"says":{"blocked":"in \u004day"},"identity":"api_key","key":"b\u00f6b","on":0,"counts":[],"agent":null},
{"key":"🦀","on":255,"counts":[[255,0,0,0,0]],"says":null}]}"#;

/// Whether both readers say the same, and what.
fn same(text: &str) -> Result<ClientsReport, String> {
    let ours = report(text);
    let serde = serde_json::from_str::<ClientsReport>(text);
    match (ours, serde) {
        (Ok(ours), Ok(serde)) if ours == serde => Ok(ours),
        (Err(wrong), Err(_)) => Err(wrong.to_string()),
        (ours, serde) => panic!("{text}\nours {ours:?}\nserde {serde:?}"),
    }
}

#[test]
fn it_reads_what_serde_reads() {
    let report = same(WHOLE).unwrap();
    assert_eq!((report.node.as_str(), report.epoch, report.theta), ("edge \"1\"", 0xa1, 255));
    assert_eq!(report.versions, ["v1", "vé"]);
    assert_eq!(report.clients[1].says, Some(Declared::Blocked("in May".to_owned())));
    assert_eq!((report.clients[2].key.as_str(), report.clients[2].on), ("🦀", 255));
}

/// Each half of a pair is put in the place of the other in a right report.
#[test]
fn what_is_wrong_is_named_with_its_column() {
    let right = r#"{"node":"e","epoch":"1","sequence":1,"revision":1,"versions":["v1"],"clients":[{"key":"a","on":0,"counts":[[0,1,0,5,5]],"says":"ready"}]}"#;
    assert!(same(right).is_ok());
    for (part, other, expected) in [
        (r#""epoch":"1""#, r#""epoch":1"#, "a string is expected at column 21"),
        (r#""epoch":"1""#, r#""epoch":"x""#, "a string of 16 hexadecimal digits"),
        (r#""epoch":"1""#, r#""epoch":"+1""#, "a string of 16 hexadecimal digits"),
        (r#""says":"ready""#, r#""more":truefalse"#, "a comma, or an end,"),
        (r#""says":"ready""#, r#""x":truefalse"#, "a comma, or an end,"),
        (r#""sequence":1"#, r#""sequence":01"#, "a whole number of the right size"),
        (r#""sequence":1"#, r#""sequence":-1"#, "a whole number of the right size"),
        (r#""sequence":1"#, r#""sequence":1.0"#, "a whole number of the right size"),
        (r#""sequence":1"#, r#""sequence":18446744073709551616"#, "a whole number"),
        (r#""sequence":1"#, r#""node":"f""#, "a field that was not there before is expected"),
        (r#""sequence":1,"#, "", "a report with `node`, `epoch`, `sequence`"),
        (r#""key":"a","#, "", "a client with `key`, `on` and `counts` is expected"),
        ("[0,1,0,5,5]", "[0,1,0,5]", "a list of five numbers"),
        ("[0,1,0,5,5]", "[0,1,0,5,5,6]", "an end after five numbers"),
        ("[0,1,0,5,5]", "[256,1,0,5,5]", "a whole number"),
        ("[0,1,0,5,5]", "[0,1,0,4294967296,5]", "a whole number"),
        ("[0,1,0,5,5]", "[0,1,0,5,5],", "a list is expected"),
        (r#""says":"ready""#, r#""says":"later""#, "`ready`, or `blocked` with a reason"),
        (r#""says":"ready""#, r#""says":{"blocked":"x","y":1}"#, "an end"),
        (r#""says":"ready""#, r#""identity":"me""#, "`key`, `sender`, `api_key`"),
        (r#""says":"ready""#, r#""x":01"#, "a number"),
        (r#""says":"ready""#, r#""x":tru"#, "true or false"),
        (r#""says":"ready""#, r#""agent":"\ud800""#, "a string with the escapes of JSON"),
        (r#""says":"ready""#, "\"x\":\"\u{1}\"", "a string without control characters"),
        (r#""says":"ready""#, r#""x" 1"#, "a colon"),
        ("}]}", "}]} x", "the end"),
        ("}]}", "}]", "a comma, or an end,"),
    ] {
        assert!(right.contains(part), "{part}");
        let error = same(&right.replacen(part, other, 1)).unwrap_err();
        assert!(error.contains(expected), "{other}: {error}");
    }
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    assert!(report(&deep).unwrap_err().to_string().contains("less depth"));
    assert!(report(&"[".repeat(1_000_000)).is_err());
}

proptest! {
    /// Cut anywhere, or with other bytes anywhere, both readers say the same.
    #[test]
    fn damaged_it_says_what_serde_says(
        cut in 0..WHOLE.len(),
        at in 0..WHOLE.len(),
        put in r#"[\[\]{}",:0-9a-z\\ .-]{1,3}"#,
    ) {
        let mut text = WHOLE.to_owned();
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
            text.replace_range(at..at + 1, &put);
        }
        let _ = same(&text);
        if text.is_char_boundary(cut) {
            let _ = same(&text[..cut]);
        }
    }
}
