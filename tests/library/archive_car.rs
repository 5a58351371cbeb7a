//! CARv1 as others read it, and every way in which a file can be less than what was written.

use std::process::Command;

use cim_keys::archive::{CarError, CarReader, CarWriter};
use cim_keys::events::Link;
use cim_keys::ipld_support::{canonical_bytes, cid_of_blob, cid_of_block};
use cim_keys_testkit::{samples, tools};

fn link(cid: cid::Cid) -> Link {
    Link::new(cid).unwrap()
}

/// An archive of the sample events, and a blob at its end.
fn archive() -> (Vec<u8>, Vec<(Link, Vec<u8>)>) {
    archive_of(true)
}

fn archive_of(blob: bool) -> (Vec<u8>, Vec<(Link, Vec<u8>)>) {
    let mut blocks: Vec<_> = samples::events()
        .iter()
        .map(|event| canonical_bytes(event).unwrap())
        .map(|block| (link(cid_of_block(&block)), block))
        .collect();
    if blob {
        blocks.push((link(cid_of_blob(b"a blob")), b"a blob".to_vec()));
    }
    let mut writer = CarWriter::new(Vec::new(), &[blocks[0].0]).unwrap();
    for (cid, block) in &blocks {
        writer.block(cid, block).unwrap();
    }
    let written = writer.written();
    let bytes = writer.finish().unwrap();
    assert_eq!(written, bytes.len() as u64);
    (bytes, blocks)
}

fn read(bytes: &[u8]) -> Result<Vec<(Link, Vec<u8>)>, CarError> {
    let mut reader = CarReader::new(bytes)?;
    let mut blocks = Vec::new();
    while let Some((cid, block)) = reader.next_block()? {
        blocks.push((cid, block.to_vec()));
    }
    assert_eq!(reader.position(), bytes.len() as u64);
    Ok(blocks)
}

#[test]
fn what_was_written_is_read() {
    let (bytes, blocks) = archive();
    assert_eq!(read(&bytes).unwrap(), blocks);
    assert_eq!(CarReader::new(&bytes[..]).unwrap().roots(), [blocks[0].0]);
    let empty = CarWriter::new(Vec::new(), &[]).unwrap().finish().unwrap();
    assert_eq!(read(&empty).unwrap(), []);
}

#[cfg(unix)]
#[test]
fn javascript_reads_it() {
    let Some(modules) = tools::tool(tools::NODE_MODULES) else { return };
    let (bytes, blocks) = archive();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.car"), bytes).unwrap();
    let script = r#"
import { readFileSync } from "node:fs";
import { CarReader } from "@ipld/car";
import * as cbor from "@ipld/dag-cbor";
import { sha256 } from "multiformats/hashes/sha2";
const reader = await CarReader.fromBytes(readFileSync(process.argv[2]));
console.log("root " + (await reader.getRoots()).join(" "));
for await (const { cid, bytes } of reader.blocks()) {
  const digest = await sha256.digest(bytes);
  if (Buffer.compare(digest.bytes, cid.multihash.bytes)) throw new Error("hash of " + cid);
  console.log(cid + " " + (cid.code === cbor.code ? cbor.decode(bytes).type : "blob"));
}"#;
    let file = folder.path().join("read.mjs");
    std::fs::write(&file, script).unwrap();
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let output = Command::new("node").arg(&file).arg(folder.path().join("a.car")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    compare(&String::from_utf8(output.stdout).unwrap(), &blocks);
}

#[test]
fn python_reads_it() {
    let Some(python) = tools::tool(tools::PYTHON) else { return };
    // This library reads archives of dag-cbor only.
    let (bytes, blocks) = archive_of(false);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.car");
    std::fs::write(&file, bytes).unwrap();
    let script = r#"
import sys, libipld
header, blocks = libipld.decode_car(open(sys.argv[1], "rb").read())
text = lambda cid: libipld.encode_cid(cid) if isinstance(cid, bytes) else cid
print("root", *map(text, header["roots"]))
for cid, block in blocks.items():
    print(text(cid), block["type"] if isinstance(block, dict) else "blob")
"#;
    let output = Command::new(python).arg("-c").arg(script).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    compare(&String::from_utf8(output.stdout).unwrap(), &blocks);
}

fn compare(said: &str, blocks: &[(Link, Vec<u8>)]) {
    let mut expected = vec![format!("root {}", blocks[0].0)];
    let types = samples::events();
    let types = types.iter().map(|event| event.event_type().to_owned()).chain(["blob".to_owned()]);
    expected.extend(blocks.iter().zip(types).map(|((cid, _), event_type)| format!("{cid} {event_type}")));
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_file_that_was_cut_off_is_told_from_a_whole_one() {
    let (bytes, blocks) = archive();
    let mut whole = 0;
    for end in 0..bytes.len() {
        match read(&bytes[..end]) {
            Ok(read) => {
                // Only where a block ends: a manifest has to say how many there are.
                assert_eq!(read, blocks[..read.len()]);
                whole += 1;
            }
            Err(CarError::Truncated { offset, .. }) => assert!(offset <= end as u64),
            Err(CarError::Header(_)) if end == 0 => {}
            Err(other) => panic!("{end}: {other}"),
        }
    }
    assert_eq!(whole, blocks.len());
}

#[test]
fn no_flipped_bit_passes() {
    let (bytes, blocks) = archive();
    for bit in (0..bytes.len() * 8).step_by(7) {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // The root's digest is the one thing that a reader of blocks can't judge.
        if let Ok(read) = read(&changed) {
            assert_eq!(read, blocks);
            assert_ne!(CarReader::new(&changed[..]).unwrap().roots(), [blocks[0].0]);
        }
    }
}

#[test]
fn frames_are_read_strictly() {
    let (bytes, blocks) = archive();
    let header_end = bytes.len()
        - blocks.iter().map(|(_, block)| block.len() + 36 + if block.len() + 36 > 127 { 2 } else { 1 }).sum::<usize>();
    let header = &bytes[..header_end];
    let with = |section: &[u8]| [header, section].concat();
    for (file, why) in [
        (vec![0], "header"),
        (vec![0x80, 0x80, 0x80, 0x80, 0x10], "header"),
        (b"not an archive at all, but some text of this length that goes on and on and on until the header would end here, and more, and more".to_vec(), "CARv1"),
        (with(&[0x80, 0x00]), "length"),
        (with(&[0xff; 10]), "length"),
        (with(&[0x00]), "too short"),
        (with(&[35; 36]), "too short"),
        (with(&[0xff, 0xff, 0xff, 0x7f]), "longer than any"),
        (with(&[&[36, 1, 0x71, 0x12, 0x14][..], &[0; 32]].concat()), "sha2-256"),
        (with(&[&[36, 1, 0x70, 0x12, 0x20][..], &[0; 32]].concat()), "sha2-256"),
        (with(&[&[36, 0x12, 0x20, 0x12, 0x20][..], &[0; 32]].concat()), "sha2-256"),
        (with(&[&[36, 1, 0x71, 0x12, 0x20][..], &[0; 32]].concat()), "was changed"),
    ] {
        let error = read(&file).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}
