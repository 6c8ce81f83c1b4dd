import { hash } from 'node:crypto'

const BLOCK_BYTES = 64
const HASH_BYTES = 32

/**
 * HMAC-SHA256 of ASCII texts in hexadecimal digits, with a key of at most 64 bytes: RFC 2104 section 2, of two hashes. An `Hmac` of
 * node:crypto takes 1.5 times as long on Node 20, and ten times on Node 24.
 */
export function createHmacSha256 (key: Uint8Array): (text: string) => string {
  const inner = pad(key, 0x36)
  const outer = Buffer.concat([pad(key, 0x5c), Buffer.alloc(HASH_BYTES)])
  return text => {
    const message = Buffer.allocUnsafe(BLOCK_BYTES + text.length)
    message.set(inner)
    message.write(text, BLOCK_BYTES, 'latin1')
    outer.write(hash('sha256', message, 'binary'), BLOCK_BYTES, 'latin1')
    return hash('sha256', outer, 'hex')
  }
}

function pad (key: Uint8Array, filler: number): Buffer {
  return Buffer.alloc(BLOCK_BYTES, filler).map((byte, index) => byte ^ (key[index] ?? 0)) as Buffer
}
