import { crc32 as zlibCrc32 } from 'node:zlib'

/** A running checksum; `digest` is its value in network byte order, as S3 encodes it. */
export interface RunningChecksum {
  update (data: Uint8Array): void
  digest (): Buffer
}

export function startCrc32 (): RunningChecksum {
  let value = 0
  return {
    update (data) { value = zlibCrc32(data, value) },
    digest () { return uint32(value) }
  }
}

function uint32 (value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value >>> 0)
  return buffer
}

/** Castagnoli's polynomial, reflected (RFC 3720 section 12.1). */
const castagnoli = 0x82f63b78

const crc32cTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ castagnoli : value >>> 1
  return value
})

export function startCrc32c (): RunningChecksum {
  let value = 0xffffffff
  return {
    update (data) {
      for (const byte of data) value = (crc32cTable[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8)
    },
    digest () { return uint32(value ^ 0xffffffff) }
  }
}

/** The NVM Express polynomial, reflected (NVM Command Set specification, 64b CRC), in halves: BigInt is twenty times slower. */
const nvme = { high: 0x9a6c9329, low: 0xac4bc9b5 }

const crc64Table = Array.from({ length: 256 }, (_, index) => {
  let [high, low] = [0, index]
  for (let bit = 0; bit < 8; bit++) {
    const odd = (low & 1) === 1
    low = ((low >>> 1) | (high << 31)) >>> 0
    high >>>= 1
    if (odd) {
      high = (high ^ nvme.high) >>> 0
      low = (low ^ nvme.low) >>> 0
    }
  }
  return { high, low }
})
const crc64High = Uint32Array.from(crc64Table, ({ high }) => high)
const crc64Low = Uint32Array.from(crc64Table, ({ low }) => low)

export function startCrc64Nvme (): RunningChecksum {
  let [high, low] = [0xffffffff, 0xffffffff]
  return {
    update (data) {
      for (const byte of data) {
        const index = (low ^ byte) & 0xff
        low = ((low >>> 8) | (high << 24)) ^ (crc64Low[index] ?? 0)
        high = (high >>> 8) ^ (crc64High[index] ?? 0)
      }
    },
    digest () { return Buffer.concat([uint32(high ^ 0xffffffff), uint32(low ^ 0xffffffff)]) }
  }
}
