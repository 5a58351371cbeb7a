//! The vectors of transparency-dev/merkle, each a test with the vector's name. They are read from
//! `$CIM_KEYS_VECTORS/rfc6962`; without them each test says that it was skipped, and fails where nothing may be.

use std::path::PathBuf;

use base64::prelude::{BASE64_STANDARD, Engine};
use cim_keys::log::{NodeHash, check_consistency, check_inclusion};
use cim_keys_testkit::tools;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

#[derive(Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Vector {
    Inclusion {
        leaf_idx: u64,
        tree_size: u64,
        root: String,
        leaf_hash: String,
        proof: Option<Vec<String>>,
        want_err: bool,
    },
    Consistency {
        size1: u64,
        size2: u64,
        root1: String,
        root2: String,
        proof: Option<Vec<String>>,
        want_err: bool,
    },
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CIM_KEYS_VECTORS").map(|folder| PathBuf::from(folder).join("rfc6962/testdata"));
    if folder.is_none() {
        tools::skip("no CIM_KEYS_VECTORS: a folder of other projects' test vectors, with rfc6962 in it");
    }
    folder
}

/// Our types hold hashes of 32 bytes and nothing else: what is none in a vector is stood for by its own hash, so that two
/// are equal where the vector's are.
fn hash(text: &str) -> NodeHash {
    let bytes = BASE64_STANDARD.decode(text).unwrap();
    bytes.as_slice().try_into().unwrap_or_else(|_| Sha256::digest(&bytes).into())
}

fn is_hash(text: &str) -> bool {
    BASE64_STANDARD.decode(text).unwrap().len() == 32
}

fn hashes(proof: Option<Vec<String>>) -> Vec<NodeHash> {
    proof.unwrap_or_default().iter().map(|one| hash(one)).collect()
}

fn check(path: &str) {
    let Some(folder) = folder() else { return };
    let text = std::fs::read_to_string(folder.join(path).with_added_extension("json")).unwrap();
    let (passed, want_err) = match serde_json::from_str(&text).unwrap() {
        Vector::Inclusion { leaf_idx, tree_size, root, leaf_hash, proof, want_err } => {
            // A leaf or root that is no hash of 32 bytes can't even be written down here: it is refused by its type.
            let expressible = [&leaf_hash, &root].iter().all(|text| is_hash(text));
            let holds = check_inclusion(&hashes(proof), leaf_idx, &hash(&leaf_hash), tree_size, &hash(&root)).is_ok();
            (expressible && holds, want_err)
        }
        Vector::Consistency { size1, size2, root1, root2, proof, want_err } => {
            (check_consistency(&hashes(proof), size1, &hash(&root1), size2, &hash(&root2)).is_ok(), want_err)
        }
    };
    assert_eq!(passed, !want_err, "{path}");
}

macro_rules! named {
    ($($name:ident = $path:literal)+) => {
        $(
            #[test]
            fn $name() {
                check($path);
            }
        )+

        #[test]
        fn every_vector_has_its_test() {
            let Some(folder) = folder() else { return };
            for path in [$($path),+] {
                assert!(folder.join(path).with_added_extension("json").is_file(), "{path}");
            }
            assert_eq!(count(&folder), [$($path),+].len());
        }
    };
}

fn count(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

named! {
    consistency_0_happy_path = "consistency/0/happy-path"
    consistency_1_empty_proof = "consistency/1/empty-proof"
    consistency_1_happy_path = "consistency/1/happy-path"
    consistency_1_modified_proof_0_bit_4 = "consistency/1/modified-proof@0-bit-@4"
    consistency_1_modified_proof_1_bit_4 = "consistency/1/modified-proof@1-bit-@4"
    consistency_1_modified_proof_2_bit_4 = "consistency/1/modified-proof@2-bit-@4"
    consistency_1_preceding_garbage = "consistency/1/preceding-garbage"
    consistency_1_preceding_proof_0 = "consistency/1/preceding-proof-@0"
    consistency_1_preceding_root1 = "consistency/1/preceding-root1"
    consistency_1_preceding_root2 = "consistency/1/preceding-root2"
    consistency_1_size1_plus_1 = "consistency/1/size1-plus-@1"
    consistency_1_size1_sub_1 = "consistency/1/size1-sub-@1"
    consistency_1_size1_xor_2 = "consistency/1/size1-XOR-@2"
    consistency_1_size2_div_2 = "consistency/1/size2-div-@2"
    consistency_1_size2_mul_2 = "consistency/1/size2-mul-@2"
    consistency_1_swapped_roots = "consistency/1/swapped-roots"
    consistency_1_trailing_garbage = "consistency/1/trailing-garbage"
    consistency_1_trailing_root1 = "consistency/1/trailing-root1"
    consistency_1_trailing_root2 = "consistency/1/trailing-root2"
    consistency_1_truncated_proof = "consistency/1/truncated-proof"
    consistency_1_wrong_root1 = "consistency/1/wrong-root1"
    consistency_1_wrong_root2 = "consistency/1/wrong-root2"
    consistency_2_empty_proof = "consistency/2/empty-proof"
    consistency_2_happy_path = "consistency/2/happy-path"
    consistency_2_modified_proof_0_bit_4 = "consistency/2/modified-proof@0-bit-@4"
    consistency_2_modified_proof_1_bit_4 = "consistency/2/modified-proof@1-bit-@4"
    consistency_2_modified_proof_2_bit_4 = "consistency/2/modified-proof@2-bit-@4"
    consistency_2_preceding_garbage = "consistency/2/preceding-garbage"
    consistency_2_preceding_proof_0 = "consistency/2/preceding-proof-@0"
    consistency_2_preceding_root1 = "consistency/2/preceding-root1"
    consistency_2_preceding_root2 = "consistency/2/preceding-root2"
    consistency_2_size1_plus_1 = "consistency/2/size1-plus-@1"
    consistency_2_size1_sub_1 = "consistency/2/size1-sub-@1"
    consistency_2_size1_xor_2 = "consistency/2/size1-XOR-@2"
    consistency_2_size2_div_2 = "consistency/2/size2-div-@2"
    consistency_2_size2_mul_2 = "consistency/2/size2-mul-@2"
    consistency_2_swapped_roots = "consistency/2/swapped-roots"
    consistency_2_trailing_garbage = "consistency/2/trailing-garbage"
    consistency_2_trailing_root1 = "consistency/2/trailing-root1"
    consistency_2_trailing_root2 = "consistency/2/trailing-root2"
    consistency_2_truncated_proof = "consistency/2/truncated-proof"
    consistency_2_wrong_root1 = "consistency/2/wrong-root1"
    consistency_2_wrong_root2 = "consistency/2/wrong-root2"
    consistency_3_empty_proof = "consistency/3/empty-proof"
    consistency_3_happy_path = "consistency/3/happy-path"
    consistency_3_modified_proof_0_bit_4 = "consistency/3/modified-proof@0-bit-@4"
    consistency_3_modified_proof_1_bit_4 = "consistency/3/modified-proof@1-bit-@4"
    consistency_3_preceding_garbage = "consistency/3/preceding-garbage"
    consistency_3_preceding_proof_0 = "consistency/3/preceding-proof-@0"
    consistency_3_preceding_root1 = "consistency/3/preceding-root1"
    consistency_3_preceding_root2 = "consistency/3/preceding-root2"
    consistency_3_size1_plus_1 = "consistency/3/size1-plus-@1"
    consistency_3_size1_sub_1 = "consistency/3/size1-sub-@1"
    consistency_3_size1_xor_2 = "consistency/3/size1-XOR-@2"
    consistency_3_size2_div_2 = "consistency/3/size2-div-@2"
    consistency_3_size2_mul_2 = "consistency/3/size2-mul-@2"
    consistency_3_swapped_roots = "consistency/3/swapped-roots"
    consistency_3_trailing_garbage = "consistency/3/trailing-garbage"
    consistency_3_trailing_root1 = "consistency/3/trailing-root1"
    consistency_3_trailing_root2 = "consistency/3/trailing-root2"
    consistency_3_truncated_proof = "consistency/3/truncated-proof"
    consistency_3_wrong_root1 = "consistency/3/wrong-root1"
    consistency_3_wrong_root2 = "consistency/3/wrong-root2"
    consistency_4_empty_proof = "consistency/4/empty-proof"
    consistency_4_happy_path = "consistency/4/happy-path"
    consistency_4_modified_proof_0_bit_4 = "consistency/4/modified-proof@0-bit-@4"
    consistency_4_modified_proof_1_bit_4 = "consistency/4/modified-proof@1-bit-@4"
    consistency_4_modified_proof_2_bit_4 = "consistency/4/modified-proof@2-bit-@4"
    consistency_4_preceding_garbage = "consistency/4/preceding-garbage"
    consistency_4_preceding_proof_0 = "consistency/4/preceding-proof-@0"
    consistency_4_preceding_root1 = "consistency/4/preceding-root1"
    consistency_4_preceding_root2 = "consistency/4/preceding-root2"
    consistency_4_size1_plus_1 = "consistency/4/size1-plus-@1"
    consistency_4_size1_sub_1 = "consistency/4/size1-sub-@1"
    consistency_4_size1_xor_2 = "consistency/4/size1-XOR-@2"
    consistency_4_size2_div_2 = "consistency/4/size2-div-@2"
    consistency_4_size2_mul_2 = "consistency/4/size2-mul-@2"
    consistency_4_swapped_roots = "consistency/4/swapped-roots"
    consistency_4_trailing_garbage = "consistency/4/trailing-garbage"
    consistency_4_trailing_root1 = "consistency/4/trailing-root1"
    consistency_4_trailing_root2 = "consistency/4/trailing-root2"
    consistency_4_truncated_proof = "consistency/4/truncated-proof"
    consistency_4_wrong_root1 = "consistency/4/wrong-root1"
    consistency_4_wrong_root2 = "consistency/4/wrong-root2"
    consistency_additional_consistency_check_on_empty_tree_size1_is_zero_is_useless = "consistency/additional/consistency-check-on-empty-tree-size1-is-zero-is-useless"
    consistency_additional_roots_do_not_match_and_sizes_are_zero = "consistency/additional/roots-do-not-match-and-sizes-are-zero"
    consistency_additional_roots_do_not_not_match_and_sizes_are_one = "consistency/additional/roots-do-not-not-match-and-sizes-are-one"
    consistency_additional_size1_is_greater_than_size2 = "consistency/additional/size1-is-greater-than-size2"
    consistency_additional_size1_is_greater_than_size2_again = "consistency/additional/size1-is-greater-than-size2-again"
    consistency_additional_size1_is_zero_and_does_not_equal_size2 = "consistency/additional/size1-is-zero-and-does-not-equal-size2"
    consistency_additional_size1_is_zero_and_size2_is_not_zero = "consistency/additional/size1-is-zero-and-size2-is-not-zero"
    consistency_additional_sizes_are_equal_one_and_proof_is_empty = "consistency/additional/sizes-are-equal-one-and-proof-is-empty"
    consistency_additional_sizes_are_equal_one_but_roots_are_not = "consistency/additional/sizes-are-equal-one-but-roots-are-not"
    consistency_additional_sizes_are_equal_zero_and_proof_is_empty = "consistency/additional/sizes-are-equal-zero-and-proof-is-empty"
    consistency_additional_sizes_are_equal_zero_but_roots_are_not = "consistency/additional/sizes-are-equal-zero-but-roots-are-not"
    consistency_additional_sizes_do_not_watch_and_proof_is_empty = "consistency/additional/sizes-do-not-watch-and-proof-is-empty"
    consistency_additional_sizes_match_but_proof_is_not_empty_and_sizes_are_one = "consistency/additional/sizes-match-but-proof-is-not-empty-and-sizes-are-one"
    consistency_additional_sizes_match_but_proof_is_not_empty_and_sizes_are_zero = "consistency/additional/sizes-match-but-proof-is-not-empty-and-sizes-are-zero"
    inclusion_0_empty_root = "inclusion/0/empty-root"
    inclusion_0_happy_path = "inclusion/0/happy-path"
    inclusion_0_leafidx_plus_1 = "inclusion/0/leafIdx-plus-@1"
    inclusion_0_leafidx_sub_1 = "inclusion/0/leafIdx-sub-@1"
    inclusion_0_leafidx_xor_2 = "inclusion/0/leafIdx-XOR-@2"
    inclusion_0_preceding_garbage = "inclusion/0/preceding-garbage"
    inclusion_0_preceding_root = "inclusion/0/preceding-root"
    inclusion_0_random_root = "inclusion/0/random-root"
    inclusion_0_trailing_garbage = "inclusion/0/trailing-garbage"
    inclusion_0_trailing_root = "inclusion/0/trailing-root"
    inclusion_0_treesize_div_2 = "inclusion/0/treeSize-div-@2"
    inclusion_0_treesize_mul_2 = "inclusion/0/treeSize-mul-@2"
    inclusion_0_wrong_leaf = "inclusion/0/wrong-leaf"
    inclusion_1_empty_root = "inclusion/1/empty-root"
    inclusion_1_happy_path = "inclusion/1/happy-path"
    inclusion_1_inserted_component = "inclusion/1/inserted-component"
    inclusion_1_leafidx_plus_1 = "inclusion/1/leafIdx-plus-@1"
    inclusion_1_leafidx_sub_1 = "inclusion/1/leafIdx-sub-@1"
    inclusion_1_leafidx_xor_2 = "inclusion/1/leafIdx-XOR-@2"
    inclusion_1_modified_proof_0_bit_3 = "inclusion/1/modified-proof[0]-bit-@3"
    inclusion_1_modified_proof_1_bit_3 = "inclusion/1/modified-proof[1]-bit-@3"
    inclusion_1_modified_proof_2_bit_3 = "inclusion/1/modified-proof[2]-bit-@3"
    inclusion_1_preceding_garbage = "inclusion/1/preceding-garbage"
    inclusion_1_preceding_root = "inclusion/1/preceding-root"
    inclusion_1_random_root = "inclusion/1/random-root"
    inclusion_1_removed_component = "inclusion/1/removed-component"
    inclusion_1_trailing_garbage = "inclusion/1/trailing-garbage"
    inclusion_1_trailing_root = "inclusion/1/trailing-root"
    inclusion_1_treesize_div_2 = "inclusion/1/treeSize-div-@2"
    inclusion_1_treesize_mul_2 = "inclusion/1/treeSize-mul-@2"
    inclusion_1_wrong_leaf = "inclusion/1/wrong-leaf"
    inclusion_2_empty_root = "inclusion/2/empty-root"
    inclusion_2_happy_path = "inclusion/2/happy-path"
    inclusion_2_inserted_component = "inclusion/2/inserted-component"
    inclusion_2_leafidx_plus_1 = "inclusion/2/leafIdx-plus-@1"
    inclusion_2_leafidx_sub_1 = "inclusion/2/leafIdx-sub-@1"
    inclusion_2_leafidx_xor_2 = "inclusion/2/leafIdx-XOR-@2"
    inclusion_2_modified_proof_0_bit_3 = "inclusion/2/modified-proof[0]-bit-@3"
    inclusion_2_modified_proof_1_bit_3 = "inclusion/2/modified-proof[1]-bit-@3"
    inclusion_2_modified_proof_2_bit_3 = "inclusion/2/modified-proof[2]-bit-@3"
    inclusion_2_preceding_garbage = "inclusion/2/preceding-garbage"
    inclusion_2_preceding_root = "inclusion/2/preceding-root"
    inclusion_2_random_root = "inclusion/2/random-root"
    inclusion_2_removed_component = "inclusion/2/removed-component"
    inclusion_2_trailing_garbage = "inclusion/2/trailing-garbage"
    inclusion_2_trailing_root = "inclusion/2/trailing-root"
    inclusion_2_treesize_div_2 = "inclusion/2/treeSize-div-@2"
    inclusion_2_treesize_mul_2 = "inclusion/2/treeSize-mul-@2"
    inclusion_2_wrong_leaf = "inclusion/2/wrong-leaf"
    inclusion_3_empty_root = "inclusion/3/empty-root"
    inclusion_3_happy_path = "inclusion/3/happy-path"
    inclusion_3_leafidx_plus_1 = "inclusion/3/leafIdx-plus-@1"
    inclusion_3_leafidx_sub_1 = "inclusion/3/leafIdx-sub-@1"
    inclusion_3_leafidx_xor_2 = "inclusion/3/leafIdx-XOR-@2"
    inclusion_3_modified_proof_0_bit_3 = "inclusion/3/modified-proof[0]-bit-@3"
    inclusion_3_preceding_garbage = "inclusion/3/preceding-garbage"
    inclusion_3_preceding_root = "inclusion/3/preceding-root"
    inclusion_3_random_root = "inclusion/3/random-root"
    inclusion_3_removed_component = "inclusion/3/removed-component"
    inclusion_3_trailing_garbage = "inclusion/3/trailing-garbage"
    inclusion_3_trailing_root = "inclusion/3/trailing-root"
    inclusion_3_treesize_div_2 = "inclusion/3/treeSize-div-@2"
    inclusion_3_treesize_mul_2 = "inclusion/3/treeSize-mul-@2"
    inclusion_3_wrong_leaf = "inclusion/3/wrong-leaf"
    inclusion_4_empty_root = "inclusion/4/empty-root"
    inclusion_4_happy_path = "inclusion/4/happy-path"
    inclusion_4_inserted_component = "inclusion/4/inserted-component"
    inclusion_4_leafidx_plus_1 = "inclusion/4/leafIdx-plus-@1"
    inclusion_4_leafidx_sub_1 = "inclusion/4/leafIdx-sub-@1"
    inclusion_4_leafidx_xor_2 = "inclusion/4/leafIdx-XOR-@2"
    inclusion_4_modified_proof_0_bit_3 = "inclusion/4/modified-proof[0]-bit-@3"
    inclusion_4_modified_proof_1_bit_3 = "inclusion/4/modified-proof[1]-bit-@3"
    inclusion_4_modified_proof_2_bit_3 = "inclusion/4/modified-proof[2]-bit-@3"
    inclusion_4_preceding_garbage = "inclusion/4/preceding-garbage"
    inclusion_4_preceding_root = "inclusion/4/preceding-root"
    inclusion_4_random_root = "inclusion/4/random-root"
    inclusion_4_removed_component = "inclusion/4/removed-component"
    inclusion_4_trailing_garbage = "inclusion/4/trailing-garbage"
    inclusion_4_trailing_root = "inclusion/4/trailing-root"
    inclusion_4_treesize_div_2 = "inclusion/4/treeSize-div-@2"
    inclusion_4_treesize_mul_2 = "inclusion/4/treeSize-mul-@2"
    inclusion_4_wrong_leaf = "inclusion/4/wrong-leaf"
    inclusion_additional_0_empty_root = "inclusion/additional/0/empty-root"
    inclusion_additional_0_empty_root_and_random_leaf = "inclusion/additional/0/empty-root-and-random-leaf"
    inclusion_additional_0_random_leaf = "inclusion/additional/0/random-leaf"
    inclusion_additional_1_empty_root = "inclusion/additional/1/empty-root"
    inclusion_additional_1_empty_root_and_random_leaf = "inclusion/additional/1/empty-root-and-random-leaf"
    inclusion_additional_1_random_leaf = "inclusion/additional/1/random-leaf"
    inclusion_additional_2_empty_root = "inclusion/additional/2/empty-root"
    inclusion_additional_2_empty_root_and_random_leaf = "inclusion/additional/2/empty-root-and-random-leaf"
    inclusion_additional_2_random_leaf = "inclusion/additional/2/random-leaf"
    inclusion_additional_3_empty_root = "inclusion/additional/3/empty-root"
    inclusion_additional_3_empty_root_and_random_leaf = "inclusion/additional/3/empty-root-and-random-leaf"
    inclusion_additional_3_random_leaf = "inclusion/additional/3/random-leaf"
    inclusion_single_entry_empty_leaf = "inclusion/single-entry/empty-leaf"
    inclusion_single_entry_empty_root = "inclusion/single-entry/empty-root"
    inclusion_single_entry_empty_root_and_leaf = "inclusion/single-entry/empty-root-and-leaf"
    inclusion_single_entry_matching_root_and_leaf = "inclusion/single-entry/matching-root-and-leaf"
}
