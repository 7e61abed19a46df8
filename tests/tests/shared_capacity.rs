//! Two servers as processes of their own, on one bucket and one database: what is in the bucket never
//! exceeds a limit, at no moment, also when one of them is killed; and what the database counts is
//! what is there.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use futures_util::{StreamExt, stream};
use larder::{
    index::{
        Area, Index, KeyRule, Remains, UploadId,
        sql::{ClientLimits, ConnectionSettings, OtherRule, postgres},
    },
    storage::{
        Storage,
        bucket::s3::{self, S3Settings},
        objects::{ObjectSettings, ObjectStorage},
    },
};
use larder_stress::{
    client::{Client, content},
    server::{Server, Setup},
};
use larder_testing::service;

const MIB: usize = 1 << 20;
const SAVES: usize = 200;
/// So many at most, if a storm has to go on.
const MOST_SAVES: usize = 20 * SAVES;
const AFTER_FAILURE: Duration = Duration::from_millis(50);
const LIMIT: u64 = 40 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// The bucket and the database of a test, and what it has in them.
struct Place {
    endpoint: String,
    bucket: String,
    key: String,
    secret: String,
    database: String,
    prefix: String,
    repository: String,
}

impl Place {
    /// Returns one that no other test uses; `None` where there are no servers.
    fn new(number: u64) -> Option<Self> {
        let endpoint = service("LARDER_TEST_S3_ENDPOINT")?;
        let database = service("LARDER_TEST_POSTGRES_URL")?;
        let of = |name| service(name).expect("the other variables, too");
        let unique = u64::from(std::process::id()) * 10 + number;
        Some(Self {
            endpoint,
            bucket: of("LARDER_TEST_S3_BUCKET"),
            key: of("LARDER_TEST_S3_ACCESS_KEY"),
            secret: of("LARDER_TEST_S3_SECRET_KEY"),
            database,
            prefix: format!("shared-{unique}"),
            repository: (2_000_000_000 + unique).to_string(),
        })
    }

    fn server(&self) -> Server {
        let file = format!(
            "[server]\nshutdown_ms = 1000\n[retention]\ndisable = true\n\
             [capacity]\nrepository_max_bytes = {LIMIT}\nwait_ms = 500\n"
        );
        let setup = [
            ("STORAGE_DRIVER", "s3"),
            ("STORAGE_S3_BUCKET", &self.bucket),
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_ACCESS_KEY_ID", &self.key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
            ("AWS_REGION", "us-east-1"),
            ("LARDER_STORAGE_PREFIX", &self.prefix),
            ("DB_DRIVER", "postgres"),
            ("DB_POSTGRES_URL", &self.database),
        ]
        .into_iter()
        .fold(Setup { file, ..Setup::default() }, |setup, (name, value)| setup.with(name, &value));
        Server::start(setup)
    }

    async fn index(&self) -> Arc<dyn Index> {
        let settings =
            ConnectionSettings { url: Some(self.database.clone()), ..ConnectionSettings::default() };
        let limits = ClientLimits { connections: 2, call: PATIENCE };
        let opened = postgres::open(&settings, limits, KeyRule::AnyCase, OtherRule::Refuse).await;
        Arc::new(opened.unwrap())
    }

    async fn storage(&self) -> ObjectStorage {
        let settings = S3Settings {
            prefix: format!("{}/", self.prefix),
            region: Some("us-east-1".to_owned()),
            endpoint: Some(self.endpoint.clone()),
            path_style: true,
            access_key_id: Some(self.key.clone()),
            secret_access_key: Some(self.secret.clone()),
            ..S3Settings::new(&self.bucket)
        };
        let bucket = s3::connect(&settings).await.unwrap();
        ObjectStorage::open(bucket, &ObjectSettings::new(64 << 20)).unwrap()
    }

    fn client(&self) -> aws_sdk_s3::Client {
        let credentials = Credentials::new(&self.key, &self.secret, None, None, "test");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&self.endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials)
            .force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Returns the content in the bucket: objects, staged blocks, and parts of what is no object yet. Objects
    /// come first: what becomes one meanwhile is missed, and not counted twice.
    async fn stored(&self, client: &aws_sdk_s3::Client) -> u64 {
        let (mut bytes, mut from) = (0, None);
        loop {
            let listed = client.list_objects_v2().bucket(&self.bucket).prefix(format!("{}/", self.prefix));
            let page = listed.set_continuation_token(from).send().await.unwrap();
            let is_content = |key: &str| {
                let name = &key[self.prefix.len() + 1..];
                // Of an upload the spilled blocks; the rest is bookkeeping, as are manifests and marks.
                match name.strip_prefix("uploads/") {
                    Some(staged) => staged.split('-').nth(1).is_some_and(|what| what.starts_with('s')),
                    None => name.starts_with("objects/") && !name.contains('.'),
                }
            };
            for object in page.contents() {
                if is_content(object.key().unwrap()) {
                    bytes += u64::try_from(object.size().unwrap()).unwrap();
                }
            }
            from = page.next_continuation_token().map(str::to_owned);
            if from.is_none() {
                return bytes + self.parts(client).await;
            }
        }
    }

    async fn parts(&self, client: &aws_sdk_s3::Client) -> u64 {
        let open = client.list_multipart_uploads().bucket(&self.bucket).prefix(format!("{}/", self.prefix));
        let open = open.send().await.unwrap();
        assert_ne!(open.is_truncated(), Some(true));
        let mut bytes = 0;
        for upload in open.uploads() {
            let (key, id) = (upload.key().unwrap(), upload.upload_id().unwrap());
            // It may have been completed or aborted meanwhile.
            let listed = client.list_parts().bucket(&self.bucket).key(key).upload_id(id).send().await;
            if let Ok(listed) = listed {
                // A part that is sent again replaces the earlier one.
                let parts: HashMap<_, _> =
                    listed.parts().iter().map(|part| (part.part_number(), part.size().unwrap())).collect();
                bytes += parts.values().map(|size| u64::try_from(*size).unwrap()).sum::<u64>();
            }
        }
        bytes
    }
}

/// Saves an entry in one of three ways. Returns whether it is there; a save that fails is none, and rests: at a
/// killed server all would have failed at once.
async fn save(client: &Client, number: usize) -> bool {
    let key = format!("storm-{number}-");
    let saved = async {
        let url = client.create(&key).await?;
        let size = match number % 3 {
            0 => {
                client.put(&url, content(number as u64, MIB)).await?;
                MIB
            }
            // A part of a multipart upload, and the rest of a spilled block.
            1 => {
                client.put_block(&url, 0, content(1, 5 * MIB)).await?;
                client.put_block(&url, 1, content(2, MIB)).await?;
                client.put_list(&url, 2).await?;
                6 * MIB
            }
            _ => {
                client.put(&url, content(number as u64, 2 * MIB)).await?;
                2 * MIB
            }
        };
        client.finalize(&key, size).await
    };
    let is_saved = saved.await.is_ok();
    if !is_saved {
        tokio::time::sleep(AFTER_FAILURE).await;
    }
    is_saved
}

/// 200 saves at two servers, while the bucket is looked at all the time, and a server is killed and
/// started again. At a killed server saves fail at once, so there are more of them, until the last kill is
/// over and the bucket was looked at often enough and seen to be half full. Returns how many were saved, and the most that was there in any look.
async fn storm(place: &Place, servers: &mut [Server; 2], kills: usize) -> (usize, u64) {
    let is_over = AtomicBool::new(false);
    let (kills_left, looks, most) = (AtomicUsize::new(kills), AtomicUsize::new(0), AtomicU64::new(0));
    let sampling = async {
        let client = place.client();
        while !is_over.load(Relaxed) {
            most.fetch_max(place.stored(&client).await, Relaxed);
            looks.fetch_add(1, Relaxed);
        }
        let samples = looks.load(Relaxed);
        assert!(samples > 10, "{samples} looks");
    };
    let clients = [0, 1].map(|at| Client::new(&servers[at], &place.repository, PATIENCE));
    let clients = &clients;
    let saving = async {
        let is_seen = || looks.load(Relaxed) > 10 && most.load(Relaxed) > LIMIT / 2;
        let goes_on = |number| number < SAVES || kills_left.load(Relaxed) > 0 || !is_seen();
        let numbers = stream::iter(0..MOST_SAVES).take_while(|number| std::future::ready(goes_on(*number)));
        let saves = numbers.map(|number| save(&clients[number % 2], number));
        // All at once; where servers are killed, so many would fail at once that nothing fills the bucket.
        let at_once = if kills == 0 { SAVES } else { 32 };
        let saved = saves.buffer_unordered(at_once).filter(|saved| std::future::ready(*saved)).count().await;
        is_over.store(true, Relaxed);
        saved
    };
    let killing = async {
        for kill in 0..kills {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if is_over.load(Relaxed) {
                assert!(kill > 0, "the saves were over before the first kill");
                return;
            }
            let server = &mut servers[kill % 2];
            server.kill();
            tokio::task::block_in_place(|| server.start_again());
            kills_left.fetch_sub(1, Relaxed);
        }
    };
    let (saved, (), ()) = tokio::join!(saving, sampling, killing);
    (saved, most.into_inner())
}

/// Does what the janitor's cleaner does in time: ends what the killed servers have left. No other test uses
/// the database meanwhile.
async fn clean(index: &dyn Index, storage: &dyn Storage, repository: &str) {
    let mut after = UploadId(0);
    loop {
        let page = index.list_uploads(after, 500).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.id;
        for upload in page.iter().filter(|upload| upload.slot.repository == repository) {
            index.abandon(upload.id).await.unwrap();
        }
    }
    let mut after = None;
    loop {
        let page = index.list_leaving(after, 500).await.unwrap();
        let Some(last) = page.last() else { return };
        after = Some(last.id.clone());
        for leaving in page {
            match leaving.what {
                Remains::Upload { name, kept } => {
                    storage.erase(&name, kept.as_ref()).await.unwrap();
                    index.left_uploads(&[name]).await.unwrap();
                }
                Remains::Object(object) => {
                    storage.remove(&object).await.unwrap();
                    index.left_objects(&[object]).await.unwrap();
                }
            }
        }
    }
}

/// One at a time: both clean up in the same database.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn never_exceeds(number: u64, kills: usize) {
    let Some(place) = Place::new(number) else { return };
    let _turn = TURN.lock().await;
    let mut servers = [place.server(), place.server()];
    let (saved, most) = storm(&place, &mut servers, kills).await;
    assert!(most <= LIMIT, "{most} of {LIMIT} were stored");
    assert!(most > LIMIT / 2, "only {most} of {LIMIT}: it was not full");
    assert!(saved > 0);
    for server in &mut servers {
        assert!(server.stop().await.success(), "{}", server.log_tail());
    }
    let (index, storage, client) = (place.index().await, place.storage().await, place.client());
    let area = Area::Repository(place.repository.clone());
    let (counted, stored) = (index.usage_of(&area).await.unwrap(), place.stored(&client).await);
    assert!(counted >= stored && counted <= LIMIT, "{counted} are counted, {stored} stored");
    if kills == 0 {
        assert_eq!(counted, stored, "nothing was interrupted");
    }
    clean(&*index, &storage, &place.repository).await;
    let (counted, stored) = (index.usage_of(&area).await.unwrap(), place.stored(&client).await);
    assert_eq!(counted, stored, "of {saved} entries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bucket_never_has_more_than_the_limit() {
    never_exceeds(1, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bucket_never_has_more_than_the_limit_when_servers_are_killed() {
    never_exceeds(2, 3).await;
}
