//! What was verified and is not recorded yet, because no signed head covers it: in memory, and beyond some size in a file
//! that the next run goes on with.
//!
//! The file belongs to one incarnation of a stream. It holds nothing secret, and nothing that is believed: its blocks are
//! verified again when they are read, and recorded only once a signed head covers them.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use cid::Cid;

use crate::delivery::Previous;
use crate::ipld_support::{EventBlock, MAX_BLOCK_LEN, verify_block};
use crate::log::{Leaf, PublishedEvent};
use crate::text::SubjectPrefix;

/// How many bytes of blocks stay in memory.
const IN_MEMORY: usize = 16 * 1024 * 1024;

const MAGIC: &[u8; 8] = b"cimspl1\n";
const EVENT: u8 = 1;
const UNREAD: u8 = 2;
const HEAD: u8 = 3;

/// Verified positions in order, not recorded yet.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    /// What tells the incarnation of the stream, and after which position the spool begins.
    stream: String,
    base: u64,
    file: Option<BufWriter<File>>,
    /// How long the file is up to the last head.
    head: Previous,
    memory: VecDeque<Leaf>,
    bytes: usize,
    /// Events of positions that were parked when they were closed.
    filled: BTreeMap<u64, PublishedEvent>,
    holes: BTreeMap<u64, Cid>,
    /// The last position that was handed out.
    taken: u64,
    in_memory: usize,
}

impl Spool {
    /// An empty one, behind a position. A file that an earlier run left is removed.
    pub(super) fn new(path: &Path, stream: &str, base: u64) -> io::Result<Self> {
        remove(path)?;
        Ok(Self { base, taken: base, ..Self::unspilled(path, stream) })
    }

    /// Goes on with the file that an earlier run left, if there is one of this stream that reaches beyond `end`, and shows
    /// each position in it after `begin` was told where it begins. What is torn or damaged at its end is cut off.
    pub(super) fn resume(
        path: &Path,
        stream: &str,
        end: u64,
        begin: impl FnOnce(u64),
        mut each: impl FnMut(&Leaf),
    ) -> io::Result<Option<Self>> {
        let Some((base, whole)) = survey(path, stream, end)? else { return Ok(None) };
        begin(base);
        let mut spool = Self { base, taken: base.max(end), ..Self::unspilled(path, stream) };
        let mut reader = Frames::open(path)?;
        while reader.read_so_far < whole {
            match reader.next()? {
                Some(Frame::Leaf(leaf)) => {
                    if leaf.event.is_none() {
                        spool.holes.insert(leaf.position, leaf.cid);
                    }
                    each(&leaf);
                }
                Some(Frame::Head(head)) => spool.head = head,
                None => break,
            }
        }
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(whole)?;
        let mut file = BufWriter::with_capacity(1 << 18, file);
        io::Seek::seek(&mut file, io::SeekFrom::Start(whole))?;
        spool.file = Some(file);
        Ok(Some(spool))
    }

    fn unspilled(path: &Path, stream: &str) -> Self {
        Self {
            path: path.to_owned(),
            stream: stream.to_owned(),
            base: 0,
            file: None,
            head: Previous::default(),
            memory: VecDeque::new(),
            bytes: 0,
            filled: BTreeMap::new(),
            holes: BTreeMap::new(),
            taken: 0,
            in_memory: IN_MEMORY,
        }
    }

    /// The head that closes what is in it.
    pub(super) const fn head(&self) -> Previous {
        self.head
    }

    /// Adds what a head has closed.
    pub(super) fn push(&mut self, leaves: Vec<Leaf>, head: Previous) -> io::Result<()> {
        for leaf in leaves {
            match &leaf.event {
                Some(event) => self.bytes += event.block.len() + 256,
                None => drop(self.holes.insert(leaf.position, leaf.cid)),
            }
            match &mut self.file {
                Some(file) => write_leaf(file, &leaf)?,
                None => self.memory.push_back(leaf),
            }
        }
        self.head = head;
        match &mut self.file {
            Some(file) => write_head(file, head),
            None if self.bytes > self.in_memory => self.spill(),
            None => Ok(()),
        }
    }

    /// Takes the event of a position that was parked.
    pub(super) fn fill(&mut self, event: PublishedEvent) {
        if self.holes.remove(&event.position).is_some() {
            self.filled.insert(event.position, event);
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&self.path)?;
        let mut file = BufWriter::with_capacity(1 << 18, file);
        file.write_all(MAGIC)?;
        let header = serde_json::to_vec(&(&self.stream, self.taken))?;
        file.write_all(&(header.len() as u32).to_le_bytes())?;
        file.write_all(&header)?;
        self.base = self.taken;
        for leaf in self.memory.drain(..) {
            write_leaf(&mut file, &leaf)?;
        }
        write_head(&mut file, self.head)?;
        self.file = Some(file);
        Ok(())
    }

    /// Hands out everything up to a position that a signed head covers, in order, but not beyond a position that is
    /// parked still. Answers with the last position that was handed out.
    pub(super) fn take<E: From<io::Error>>(
        &mut self,
        through: u64,
        mut each: impl FnMut(PublishedEvent) -> Result<(), E>,
    ) -> Result<u64, E> {
        let through = self.holes.keys().next().map_or(through, |hole| through.min(hole - 1));
        let mut left = false;
        if let Some(file) = &mut self.file {
            file.flush()?;
            let mut frames = Frames::open(&self.path)?;
            while let Some(frame) = frames.next()? {
                let Frame::Leaf(leaf) = frame else { continue };
                if leaf.position > through {
                    left = true;
                    break;
                }
                if leaf.position > self.taken {
                    self.taken = leaf.position;
                    let event = leaf.event.or_else(|| self.filled.remove(&leaf.position));
                    event.into_iter().try_for_each(&mut each)?;
                }
            }
        }
        while self.memory.front().is_some_and(|leaf| leaf.position <= through) {
            let Some(leaf) = self.memory.pop_front() else { break };
            self.taken = leaf.position;
            let event = leaf.event.or_else(|| self.filled.remove(&leaf.position));
            event.into_iter().try_for_each(&mut each)?;
        }
        if !left {
            self.file = None;
            self.bytes = 0;
            remove(&self.path)?;
        }
        Ok(self.taken)
    }

    /// Makes what is in the file readable for the next run.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Removes a spool's file.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[allow(clippy::large_enum_variant)] // heads are few
enum Frame {
    Leaf(Leaf),
    Head(Previous),
}

/// After which position a file begins, and how long it is up to its last head, where it is of use.
fn survey(path: &Path, stream: &str, end: u64) -> io::Result<Option<(u64, u64)>> {
    let mut frames = match Frames::open(path) {
        Ok(frames) => frames,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Ok(None),
    };
    if frames.stream != stream || frames.base > end {
        return Ok(None);
    }
    let (mut last, mut whole, mut through) = (frames.base, 0, 0);
    // What can't be read is where the earlier run was interrupted.
    while let Ok(Some(frame)) = frames.next() {
        match frame {
            Frame::Leaf(leaf) if leaf.position == last + 1 => last = leaf.position,
            Frame::Leaf(_) => break,
            Frame::Head(head) if head.position == last => (whole, through) = (frames.read_so_far, last),
            Frame::Head(_) => break,
        }
    }
    Ok((through > end).then_some((frames.base, whole)))
}

struct Frames {
    reader: BufReader<File>,
    stream: String,
    base: u64,
    read_so_far: u64,
}

impl Frames {
    fn open(path: &Path) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?);
        let mut start = [0; 12];
        reader.read_exact(&mut start)?;
        let length = u32::from_le_bytes([start[8], start[9], start[10], start[11]]) as usize;
        if &start[..8] != MAGIC || length > 4_096 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut header = vec![0; length];
        reader.read_exact(&mut header)?;
        let (stream, base) = serde_json::from_slice(&header)?;
        Ok(Self { reader, stream, base, read_so_far: 12 + length as u64 })
    }

    fn next(&mut self) -> io::Result<Option<Frame>> {
        let mut tag = [0];
        if self.reader.read(&mut tag)? == 0 {
            return Ok(None);
        }
        self.read_so_far += 1;
        let position = self.number()?;
        let frame = match tag[0] {
            HEAD => Frame::Head(Previous { sequence: self.number()?, position }),
            UNREAD => Frame::Leaf(Leaf { position, cid: self.cid()?, event: None }),
            EVENT => {
                let (sequence, cid) = (self.number()?, self.cid()?);
                let aggregate = self.bytes(256)?;
                let aggregate =
                    std::str::from_utf8(&aggregate).ok().and_then(|text| text.parse::<SubjectPrefix>().ok());
                let block = self.bytes(MAX_BLOCK_LEN)?;
                let Some(aggregate) = aggregate.filter(|_| verify_block(&block, &cid)) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let block = EventBlock::parse(block).map_err(|_| io::ErrorKind::InvalidData)?;
                let event = PublishedEvent { sequence, position, cid, aggregate, restored: false, block };
                Frame::Leaf(Leaf { position, cid, event: Some(event) })
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(Some(frame))
    }

    fn exactly<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.read_so_far += N as u64;
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.exactly()?))
    }

    fn cid(&mut self) -> io::Result<Cid> {
        Cid::try_from(&self.exactly::<36>()?[..]).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    fn bytes(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let length = u32::from_le_bytes(self.exactly()?) as usize;
        if length > most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes)?;
        self.read_so_far += length as u64;
        Ok(bytes)
    }
}

fn write_leaf(out: &mut impl Write, leaf: &Leaf) -> io::Result<()> {
    out.write_all(&[if leaf.event.is_some() { EVENT } else { UNREAD }])?;
    out.write_all(&leaf.position.to_le_bytes())?;
    if let Some(event) = &leaf.event {
        out.write_all(&event.sequence.to_le_bytes())?;
    }
    out.write_all(&leaf.cid.to_bytes())?;
    if let Some(event) = &leaf.event {
        for bytes in [event.aggregate.as_str().as_bytes(), &event.block] {
            out.write_all(&(bytes.len() as u32).to_le_bytes())?;
            out.write_all(bytes)?;
        }
    }
    Ok(())
}

fn write_head(out: &mut impl Write, head: Previous) -> io::Result<()> {
    out.write_all(&[HEAD])?;
    out.write_all(&head.position.to_le_bytes())?;
    out.write_all(&head.sequence.to_le_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ipld_support::{cid_of_block, from_dag_json};

    fn leaf(position: u64) -> Leaf {
        let json = format!(
            r#"{{"actor":"system:t","causes":[],"correlation_id":"c","data":{{"n":{position}}},"id":"i",
            "occurred_at":"2026-01-31T09:30:00.000000Z","schema":1,"type":"Thing"}}"#
        );
        let block = EventBlock::parse(from_dag_json(json.as_bytes()).unwrap()).unwrap();
        let cid = cid_of_block(&block);
        let aggregate = "person".parse().unwrap();
        let event = PublishedEvent { sequence: position * 2, position, cid, aggregate, restored: false, block };
        Leaf { position, cid, event: Some(event) }
    }

    fn head(position: u64) -> Previous {
        Previous { sequence: position * 2 + 1, position }
    }

    fn taken(spool: &mut Spool, through: u64) -> Vec<u64> {
        let mut positions = Vec::new();
        spool
            .take(through, |event| {
                positions.push(event.position);
                Ok::<_, io::Error>(())
            })
            .unwrap();
        positions
    }

    fn spilled(path: &Path) -> Spool {
        let mut spool = Spool::new(path, "made", 0).unwrap();
        spool.in_memory = 1_000;
        spool.push((1..=5).map(leaf).collect(), head(5)).unwrap();
        spool.push((6..=9).map(leaf).collect(), head(9)).unwrap();
        spool
    }

    #[test]
    fn what_is_spilled_comes_back_in_order_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = spilled(&path);
        assert_eq!(taken(&mut spool, 7), (1..=7).collect::<Vec<_>>());
        spool.push((10..=11).map(leaf).collect(), head(11)).unwrap();
        assert_eq!(taken(&mut spool, 11), (8..=11).collect::<Vec<_>>());
        assert!(!path.exists());
    }

    #[test]
    fn an_interrupted_run_is_gone_on_with_behind_its_last_head() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = spilled(&path);
        spool.keep().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 12..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut base, mut seen) = (None, Vec::new());
            let resumed =
                Spool::resume(&path, "made", 0, |it| base = Some(it), |leaf| seen.push(leaf.position)).unwrap();
            let Some(mut resumed) = resumed else { continue };
            assert_eq!((base, resumed.head(), &seen), (Some(0), head(5), &(1..=5).collect::<Vec<_>>()));
            assert_eq!(taken(&mut resumed, 9), seen);
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(Spool::resume(&path, "another", 0, |_| {}, |_| {}).unwrap().is_none());
        assert!(Spool::resume(&path, "made", 9, |_| {}, |_| {}).unwrap().is_none());
        for at in 12..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            // Whatever it gives is verified again by whoever holds it to a signed head.
            let _ = Spool::resume(
                &path,
                "made",
                0,
                |_| {},
                |leaf| assert!(leaf.event.as_ref().is_none_or(|event| verify_block(&event.block, &event.cid))),
            );
        }
    }

    #[test]
    fn a_run_that_goes_on_hands_out_what_is_not_recorded_yet_and_then_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = spilled(&path);
        // Four are recorded, and the process dies.
        assert_eq!(taken(&mut spool, 4), [1, 2, 3, 4]);
        spool.keep().unwrap();
        drop(spool);
        for end in [4, 6, 8] {
            let copy = folder.path().join(format!("from{end}"));
            std::fs::copy(&path, &copy).unwrap();
            let mut seen = Vec::new();
            let resumed = Spool::resume(&copy, "made", end, |_| {}, |leaf| seen.push(leaf.position)).unwrap();
            let mut resumed = resumed.unwrap();
            assert_eq!((resumed.head(), &seen), (head(9), &(1..=9).collect::<Vec<_>>()));
            resumed.push((10..=12).map(leaf).collect(), head(12)).unwrap();
            assert_eq!(taken(&mut resumed, 11), (end + 1..=11).collect::<Vec<_>>());
            // Again it dies; what is left is what was not handed out.
            resumed.keep().unwrap();
            drop(resumed);
            let mut again = Spool::resume(&copy, "made", 11, |_| {}, |_| {}).unwrap().unwrap();
            assert_eq!(taken(&mut again, 12), [12]);
            assert!(!copy.exists());
        }
    }

    #[test]
    fn a_hole_is_a_hole_still_when_a_run_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = Spool::new(&path, "made", 0).unwrap();
        spool.in_memory = 100;
        let hole = Leaf { event: None, ..leaf(2) };
        spool.push(vec![leaf(1), hole, leaf(3)], head(3)).unwrap();
        assert_eq!(taken(&mut spool, 3), [1]);
        spool.keep().unwrap();
        drop(spool);
        let mut resumed = Spool::resume(&path, "made", 1, |_| {}, |_| {}).unwrap().unwrap();
        assert_eq!(taken(&mut resumed, 3), [0; 0]);
        resumed.fill(leaf(2).event.unwrap());
        assert_eq!(taken(&mut resumed, 3), [2, 3]);
    }

    #[test]
    fn a_file_that_is_no_spool_or_begins_behind_the_mirror_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let resume = |end| Spool::resume(&path, "made", end, |_| {}, |_| {}).unwrap();
        assert!(resume(0).is_none());
        for bytes in [&b""[..], b"cimspl1\n", b"cimspl1\n\xff\xff\xff\xff", b"something else that is long enough"] {
            std::fs::write(&path, bytes).unwrap();
            assert!(resume(0).is_none());
        }
        let mut spool = Spool::new(&path, "made", 5).unwrap();
        spool.in_memory = 100;
        spool.push((6..=9).map(leaf).collect(), head(9)).unwrap();
        spool.keep().unwrap();
        drop(spool);
        assert!(resume(3).is_none(), "positions 4 and 5 would be missing");
        assert!(resume(5).is_some());
    }

    #[test]
    fn nothing_passes_a_hole_until_it_is_filled() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(&folder.path().join("spool"), "made", 0).unwrap();
        let hole = Leaf { event: None, ..leaf(3) };
        spool.push(vec![leaf(1), leaf(2), hole, leaf(4)], head(4)).unwrap();
        assert_eq!(taken(&mut spool, 4), [1, 2]);
        assert_eq!(taken(&mut spool, 4), [0; 0]);
        spool.fill(leaf(3).event.unwrap());
        assert_eq!(taken(&mut spool, 4), [3, 4]);
    }
}
