//! Queue files from anywhere: they open, or the error says why not; what opens is read to its end and opens again.
//!
//! The input is the lines behind a fixed header, each without its checksum, which is added here: a line that begins with
//! `!` is taken as it is.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use cim_keys::delivery::outbox::Outbox as _;
use cim_keys::ipld_support::verify_block;
use cim_keys::queue::FileQueue;
use libfuzzer_sys::fuzz_target;

fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = folder.join(format!("cim-keys-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("queue.jsonl")
    })
}

fn seal(body: &[u8], file: &mut Vec<u8>) {
    file.extend_from_slice(body);
    file.extend_from_slice(format!(",\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body)).as_bytes());
}

fuzz_target!(|bytes: &[u8]| {
    let mut file = Vec::new();
    seal(br#"{"cim-keys-queue":1,"source":"fuzz","base":{"position":0}"#, &mut file);
    for line in bytes.split(|byte| *byte == b'\n') {
        match line.strip_prefix(b"!") {
            Some(raw) => file.extend_from_slice(raw),
            None => seal(line, &mut file),
        }
    }
    std::fs::write(path(), &file).unwrap();
    let summary = |queue: &FileQueue| (queue.end().unwrap(), queue.parked().unwrap(), queue.retries().unwrap());
    let first = match FileQueue::open(path()) {
        Ok(queue) => {
            let (end, mut at) = (queue.end().unwrap(), 0);
            while at < end {
                // An event whose text is no event was never written by a queue: it is named as damage.
                let Ok(entries) = queue.read(at, 100, 1 << 20) else { break };
                for entry in &entries {
                    assert!(entry.position > at && verify_block(&entry.block, &entry.cid));
                    at = entry.position;
                }
                if entries.is_empty() {
                    break;
                }
            }
            summary(&queue)
        }
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let again = FileQueue::open(path()).unwrap();
    assert_eq!(summary(&again), first);
});
