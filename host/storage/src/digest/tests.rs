#![expect(clippy::unwrap_used, reason = "tests")]

use super::{Digest, Hasher, InvalidDigest, MAX_DIGEST_TEXT_BYTES, MAX_RUNS, Verifier, sha256};
use crate::testing::pattern;

fn of(blocks: &[&[u8]]) -> Digest {
    Digest::of_blocks(blocks.iter().map(|block| (block.len() as u64, Some(sha256(block))))).unwrap()
}

fn is_right(digest: &Digest, bytes: &[u8], at_once: usize) -> bool {
    let mut verifier = Verifier::new(digest);
    bytes.chunks(at_once).for_each(|chunk| verifier.update(chunk));
    verifier.is_right()
}

#[test]
fn the_bytes_are_right_however_they_are_read_and_no_others_are() {
    let bytes = pattern(10_007, 1);
    let blocks: Vec<&[u8]> = bytes.chunks(1_000).collect();
    let digests =
        [of(&blocks), Digest::Whole(sha256(&bytes)), of(&[&bytes]), of(&[&bytes[..1], b"", &bytes[1..]])];
    for digest in digests {
        for at_once in [1, 7, 999, 1_000, 1_001, 20_000] {
            assert!(is_right(&digest, &bytes, at_once), "{digest} {at_once}");
        }
        for place in [0, 1, 999, 1_000, 5_000, 10_006] {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert!(!is_right(&digest, &other, 333), "{digest} {place}");
        }
        let longer = [&bytes[..], b"x"].concat();
        for other in [&bytes[..10_006], &bytes[..10_000], &longer, &[]] {
            assert!(!is_right(&digest, other, 333), "{digest} {}", other.len());
        }
        let read = Digest::parse(&digest.to_string()).unwrap();
        assert_eq!(read, digest);
    }
}

#[test]
fn blocks_that_change_their_places_are_not_right() {
    let (one, two) = (pattern(100, 1), pattern(100, 2));
    assert!(!is_right(&of(&[&one, &two]), &[two, one].concat(), 50));
}

#[test]
fn one_block_has_the_digest_of_its_bytes_and_none_that_of_no_bytes() {
    assert_eq!(of(&[b"", b"abc", b""]), Digest::Whole(sha256(b"abc")));
    assert_eq!(of(&[]), Digest::Whole(sha256(b"")));
    let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(of(&[b"abc"]).to_string(), abc);
}

#[test]
fn a_text_is_bounded() {
    let lengths = |count: usize| (0..count).map(|number| (u64::MAX - number as u64 % 2, Some([0xff; 32])));
    let most = Digest::of_blocks(lengths(MAX_RUNS)).unwrap();
    assert!(most.to_string().len() <= MAX_DIGEST_TEXT_BYTES);
    assert_eq!(Digest::parse(&most.to_string()), Ok(most.clone()));
    assert_eq!(Digest::of_blocks(lengths(MAX_RUNS + 1)), None);
    assert_eq!(Digest::parse(&format!("{most},1x1")), Err(InvalidDigest));
    assert_eq!(Digest::of_blocks([(1, Some([0; 32])), (1, None)]), None, "one is not known");
    for text in ["", "sha256:", "sha256:00", "sha256-blocks:", "md5:00", "sha256-blocks:00:1x1"] {
        assert_eq!(Digest::parse(text), Err(InvalidDigest), "{text}");
    }
    for runs in ["", "0x1", "1x0", "x", "1x", "-1x1", "1x1,"] {
        let text = format!("sha256-blocks:{}:{runs}", "00".repeat(32));
        assert_eq!(Digest::parse(&text), Err(InvalidDigest), "{runs}");
    }
}

#[test]
fn a_body_of_another_length_has_no_digest() {
    let mut hasher = Hasher::default();
    hasher.update(b"ab");
    hasher.update(b"c");
    assert_eq!(hasher.finish(3), Some(sha256(b"abc")));
    assert_eq!(hasher.finish(2), None);
}
