/** What not every store does, and the road of an upload depends on. */
export interface StoreAbilities {
  /** Honours `If-None-Match: *` on a PUT. Without it, uploads go to a staging key and are sealed by a copy. */
  readonly conditionalWrites: boolean
  /** Keeps the checksums of AWS. Without it, a SHA-256 is bound by the hash of the payload. */
  readonly checksums: boolean
  /** Takes forms, and enforces their policies. */
  readonly postPolicies: boolean
  /** Takes parts of different sizes before the last one. */
  readonly unequalParts: boolean
}
