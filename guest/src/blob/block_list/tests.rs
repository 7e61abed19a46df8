#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{ListError, MAX_IDS, parse};

fn ids(xml: &str) -> Result<Vec<String>, ListError> {
    parse(xml.as_bytes())
}

#[test]
fn ids_keep_the_order_of_the_list_whatever_their_elements() {
    let xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList>\n  <Latest>Yg==</Latest>\n  \
               <Uncommitted>YQ==</Uncommitted>\n  <Committed>Yw==</Committed>\n  <Latest>Yg==</Latest>\n</BlockList>\n";
    assert_eq!(ids(xml).unwrap(), ["Yg==", "YQ==", "Yw==", "Yg=="]);
}

#[test]
fn equivalent_documents_are_equal_lists() {
    for xml in [
        "<BlockList><Latest>a&b</Latest></BlockList>".replace('&', "&amp;"),
        "<BlockList><Latest><![CDATA[a&b]]></Latest></BlockList>".to_owned(),
        "<BlockList><Latest>a&#38;<![CDATA[b]]></Latest></BlockList>".to_owned(),
        "<BlockList><Latest>\r\n a<!-- no -->&#x26;b\t</Latest></BlockList>".to_owned(),
        "\u{feff}<?xml version='1.0'?><!-- c --><?pi x?><BlockList ><Latest x='1'>a&amp;b</Latest ></BlockList> ".to_owned(),
        "<x:BlockList xmlns:x='y'><x:Latest>a&amp;b</x:Latest></x:BlockList>".to_owned(),
    ] {
        assert_eq!(ids(&xml).unwrap(), ["a&b"], "{xml}");
    }
}

#[test]
fn an_empty_list_is_valid() {
    for xml in ["<BlockList/>", "<BlockList></BlockList>", "<BlockList> <!-- x --> </BlockList>"] {
        assert_eq!(ids(xml), Ok(Vec::new()), "{xml}");
    }
}

#[test]
fn malformed_lists_are_rejected() {
    for xml in [
        "",
        " ",
        "text",
        "{}",
        "<BlockList>",
        "<BlockList><Latest>a</BlockList>",
        "<BlockList><Latest>a</Latest>",
        "<BlockList></Latest></BlockList>",
        "<List><Latest>a</Latest></List>",
        "<BlockList><Other>a</Other></BlockList>",
        "<BlockList><Latest><Latest>a</Latest></Latest></BlockList>",
        "<BlockList>text</BlockList>",
        "<BlockList>&amp;</BlockList>",
        "<BlockList/>text",
        "<BlockList/><BlockList/>",
        "<Latest>a</Latest>",
        "<BlockList><Latest>&unknown;</Latest></BlockList>",
        "<BlockList><Latest>&#0;</Latest></BlockList>",
        "<BlockList><Latest>a & b</Latest></BlockList>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><BlockList><Latest>&a;</Latest></BlockList>",
        "</BlockList>",
        "<BlockList><Latest>a</Latest></BlockList",
    ] {
        assert_eq!(ids(xml), Err(ListError::NotAList), "{xml}");
    }
    assert_eq!(parse(b"<BlockList><Latest>\xff</Latest></BlockList>"), Err(ListError::NotAList));
}

#[test]
fn ids_have_1_to_256_bytes() {
    let list = |id: &str| ids(&format!("<BlockList><Latest>{id}</Latest></BlockList>"));
    assert_eq!(list(&"a".repeat(256)).unwrap().len(), 1);
    assert_eq!(list(&"a".repeat(257)), Err(ListError::BadId));
    assert_eq!(list(""), Err(ListError::BadId));
    assert_eq!(list("  "), Err(ListError::BadId));
    assert_eq!(ids("<BlockList><Latest/></BlockList>"), Err(ListError::BadId));
}

#[test]
fn a_list_has_up_to_50_000_ids() {
    let list = |count| format!("<BlockList>{}</BlockList>", "<Latest>YQ==</Latest>".repeat(count));
    assert_eq!(ids(&list(MAX_IDS)).unwrap().len(), MAX_IDS);
    assert_eq!(ids(&list(MAX_IDS + 1)), Err(ListError::TooLong));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&body);
    }

    #[test]
    fn any_fragments_of_lists_are_parsed_without_a_panic(pieces in proptest::collection::vec(0..12_usize, 0..20)) {
        const PIECES: [&str; 12] = [
            "<BlockList>", "</BlockList>", "<Latest>", "</Latest>", "<Latest/>", "a", " ", "&amp;", "&", "<![CDATA[",
            "]]>", "<!--",
        ];
        let _ = ids(&pieces.into_iter().map(|at| PIECES[at]).collect::<String>());
    }

    #[test]
    fn ids_round_trip_in_order(expected in proptest::collection::vec("[A-Za-z0-9+/=&<>\"']{1,88}", 0..30)) {
        let children: String = expected
            .iter()
            .map(|id| format!("<Latest>{}</Latest>", quick_xml::escape::escape(id.as_str())))
            .collect();
        prop_assert_eq!(ids(&format!("<BlockList>{children}</BlockList>")), Ok(expected));
    }
}
