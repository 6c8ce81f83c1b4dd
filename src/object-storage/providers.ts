/** What not every store does, and the road of an upload depends on. */
export interface StoreAbilities {
  /** Honours `If-None-Match: *` on a PUT. Without it, uploads go to a staging key and are sealed by a copy. */
  readonly conditionalWrites: boolean
  /** Keeps the checksums of AWS, of the whole object for parts, too. Without it, a SHA-256 is bound by the hash of the payload. */
  readonly checksums: boolean
  /** Takes forms, and enforces their policies. */
  readonly postPolicies: boolean
  /** Takes parts of different sizes before the last one. */
  readonly unequalParts: boolean
}

export const PROVIDERS = ['aws', 'r2', 'minio', 'ceph', 'b2', 'gcs', 'wasabi', 'spaces', 'generic'] as const
export type Provider = typeof PROVIDERS[number]

const ALL: StoreAbilities = { conditionalWrites: true, checksums: true, postPolicies: true, unequalParts: true }
/** Where it is not known that a store honours a condition or keeps a checksum, nothing relies on it. */
const CAREFUL: StoreAbilities = { ...ALL, conditionalWrites: false, checksums: false }

/** What each is known to do; `presignd doctor` measures it, and variables of their own overrule it. */
export const PROVIDER_ABILITIES: Readonly<Record<Provider, StoreAbilities>> = {
  /** https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html */
  aws: ALL,
  /**
   * No POST Object, and no checksum of a whole object in parts: https://developers.cloudflare.com/r2/api/s3/api/
   * Equal parts: https://developers.cloudflare.com/r2/objects/multipart-objects/
   */
  r2: { conditionalWrites: true, checksums: false, postPolicies: false, unequalParts: false },
  minio: ALL,
  /** Measured on Ceph RGW 16.2. */
  ceph: { ...ALL, checksums: false },
  /** 501 for POST Object: https://github.com/safebucket/safebucket/issues/1278; no calls beyond https://www.backblaze.com/docs/cloud-storage-s3-compatible-api */
  b2: { ...CAREFUL, postPolicies: false },
  /** Conditions are on generations, not on ETags, and forms have fields of their own: https://cloud.google.com/storage/docs/request-preconditions */
  gcs: { ...CAREFUL, postPolicies: false },
  wasabi: CAREFUL,
  spaces: CAREFUL,
  /** Whatever follows AWS. */
  generic: ALL
}

/**
 * Those whose replies carry a cache rule of their own where an object has none, so that it tells nothing of the object. Google Cloud
 * Storage says `private, max-age=0` with `Expires`, or an hour of what everyone may read: https://cloud.google.com/storage/docs/metadata#cache-control
 */
export const ADD_CACHE_RULES: ReadonlySet<Provider> = new Set<Provider>(['gcs'])
