// Reads event messages and prints the content identifier of each, computed by JavaScript's own IPLD libraries.
//
// stdin: one message a line, {"headers": {...}, "body": base64}. stdout: one line a message, "CID CE-ID", where CE-ID is
// what the message itself claims. CIM_KEYS_NODE_MODULES names the folder that holds @ipld/dag-cbor and multiformats.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const require = createRequire(join(process.env.CIM_KEYS_NODE_MODULES, 'here.js'))
const load = (name) => import(pathToFileURL(require.resolve(name)).href)
const dagCbor = await load('@ipld/dag-cbor')
const { CID } = await load('multiformats/cid')
const { sha256 } = await load('multiformats/hashes/sha2')

// The value that DAG-JSON stands for: links as CID, bytes as Uint8Array.
function fromDagJson (value) {
  if (Array.isArray(value)) return value.map(fromDagJson)
  if (value === null || typeof value !== 'object') return value
  const keys = Object.keys(value)
  if (keys.length === 1 && keys[0] === '/') {
    const inner = value['/']
    return typeof inner === 'string' ? CID.parse(inner) : new Uint8Array(Buffer.from(inner.bytes, 'base64'))
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromDagJson(item)]))
}

for (const line of readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const { headers, body } = JSON.parse(line)
  const bytes = Buffer.from(body, 'base64')
  let event, claimed
  // DAG-JSON begins with a brace, and the block of an event with a byte of 0xa0 or more.
  if (bytes[0] !== 0x7b) {
    event = dagCbor.decode(new Uint8Array(bytes))
    claimed = headers['ce-id']
  } else {
    const document = JSON.parse(bytes.toString('utf8'))
    event = fromDagJson(document.event)
    claimed = document.cid['/']
    if (claimed !== headers['ce-id']) throw new Error('body and header name two identifiers')
  }
  const digest = await sha256.digest(dagCbor.encode(event))
  console.log(CID.createV1(dagCbor.code, digest).toString(), claimed)
}
