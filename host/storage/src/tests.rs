#![allow(clippy::unwrap_used)]

use futures_util::TryStreamExt;

use super::*;

#[test]
fn object_names_have_their_form() {
    for name in ["a", "p-0", &"a".repeat(128)] {
        assert_eq!(ObjectName::parse(name).unwrap().as_str(), name);
    }
    for name in ["", "A", "a/b", "..", "a\0", "ä", "a b", &"a".repeat(129)] {
        assert_eq!(ObjectName::parse(name), Err(InvalidName("object name")), "{name}");
    }
}

#[test]
fn the_name_of_an_object_has_that_of_its_upload() {
    let upload = "0123456789abcdef0123456789abcdef";
    let of = |name: String| ObjectName::parse(name).unwrap().upload().map(|upload| upload.to_string());
    for kind in ["p", "s"] {
        assert_eq!(of(format!("{kind}-{upload}-00ff")).as_deref(), Some(upload));
    }
    for name in [format!("p-{upload}"), format!("p-{}-00ff", &upload[1..]), "p".to_owned()] {
        assert_eq!(of(name.clone()), None, "{name}");
    }
}

#[test]
fn upload_names_have_their_form() {
    let good = "0123456789abcdef0123456789abcdef";
    assert_eq!(UploadName::parse(good).unwrap().to_string(), good);
    for name in [
        "",
        &good[1..],
        &good.to_uppercase(),
        &format!("{good}0"),
        &good.replace('0', "g"),
        &good.replace('0', "/"),
    ] {
        assert_eq!(UploadName::parse(name), Err(InvalidName("upload name")), "{name}");
    }
}

#[test]
fn block_ids_are_any_text_of_their_length() {
    for id in ["a", "../..", "\0", &"x".repeat(256)] {
        assert_eq!(BlockId::parse(id).unwrap().as_str(), id);
    }
    for id in ["", &"x".repeat(257)] {
        assert_eq!(BlockId::parse(id), Err(InvalidName("block id")));
    }
}

#[test]
fn errors_do_not_repeat_their_source() {
    let error = StorageError::Unavailable { context: "read", source: "secret detail".into() };
    assert_eq!(error.to_string(), "storage unavailable: read");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "secret detail");
}

/// Takes a body; returns its length, or what is wrong with it.
async fn taken(source: Source) -> Result<usize, String> {
    let chunks: Vec<_> = source.chunks.try_collect().await.map_err(|error: SourceError| error.to_string())?;
    Ok(chunks.iter().map(bytes::Bytes::len).sum())
}

#[tokio::test]
async fn a_body_of_unknown_length_ends_where_it_gets_too_long() {
    let body = [7; 1000];
    let unannounced = || conformance::unannounced(&body);
    assert_eq!(taken(unannounced().within(None)).await, Ok(1000));
    assert_eq!(taken(unannounced().within(Some(1000))).await, Ok(1000));
    assert_eq!(taken(unannounced().within(Some(999))).await, Err("the body is too large".to_owned()));
    assert_eq!(taken(conformance::whole(&body).within(Some(1))).await, Ok(1000), "it was looked at before");
}
