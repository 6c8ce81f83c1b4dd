import type { StoreAnswer } from '../object-storage/bucket-settings.js'
import { describeError, isDenied } from './describe-error.js'
import { fail, ok, warn, type Finding } from './finding.js'
import type { Site } from './site.js'

const WARN_SKEW_SECONDS = 30
/** From here on the service signs nothing. */
const REFUSE_SKEW_SECONDS = 300
const MIN_LIFE_SECONDS = 60

const CREDENTIALS_REFUSED = new Set(['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'ExpiredToken', 'InvalidToken', 'TokenRefreshRequired'])
const ELSEWHERE = new Set(['AuthorizationHeaderMalformed', 'PermanentRedirect', 'TemporaryRedirect', 'IllegalLocationConstraintException'])

/**
 * Whether the service gets to its bucket: credentials, address, clock, region. Nothing else can be asked before
 * all of it is well.
 */
export async function probeAccess (site: Site): Promise<readonly Finding[]> {
  const credentials = await site.settings.findCredentials()
  if (!credentials) return [fail('credentials', 'none were found', 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the process a role or AWS_PROFILE')]
  const askedAt = Date.now()
  const answer = await site.settings.ask(site.prefixes[0] ?? '')
  const checks = [
    checkEndpoint(site, answer),
    checkClock(answer, (askedAt + Date.now()) / 2),
    checkCredentials(answer),
    checkRegion(site, answer),
    checkBucket(site, answer)
  ]
  const broken = checks.find(finding => finding.level === 'fail')
  if (broken) return [broken]
  return [...checks, checkLife(site, credentials), await checkMissingKey(site, answer)]
}

function checkEndpoint ({ endpoint, bucket, settingName }: Site, { silence }: StoreAnswer): Finding {
  const place = endpoint ?? 'AWS'
  if (silence === undefined) return ok('endpoint', `${place} answers`)
  const name = settingName('S3_ENDPOINT')
  if (silence === 'ENOTFOUND' && endpoint !== undefined) return fail('endpoint', `there is no host for the bucket at ${place}`, `set ${settingName('S3_FORCE_PATH_STYLE')}=true, or make ${bucket}.${new URL(endpoint).hostname} known, or correct ${name}`)
  if (/CERT|TLS|SSL|SIGNATURE/.test(silence)) return fail('endpoint', `the certificate of ${place} is not good (${silence})`, `give the store a certificate for its name, or name its authority in NODE_EXTRA_CA_CERTS${bucket.includes('.') ? ', or use a bucket without dots' : ''}`)
  return fail('endpoint', `${place} does not answer (${silence})`, `correct ${name}, or let this machine through to it`)
}

function checkCredentials ({ refusal = '' }: StoreAnswer): Finding {
  if (!CREDENTIALS_REFUSED.has(refusal)) return ok('credentials', 'accepted')
  const fix = refusal === 'SignatureDoesNotMatch' ? 'correct AWS_SECRET_ACCESS_KEY' : refusal === 'InvalidAccessKeyId' ? 'correct AWS_ACCESS_KEY_ID' : 'renew AWS_SESSION_TOKEN, or use a role that renews it by itself'
  return fail('credentials', `refused (${refusal})`, fix)
}

function checkClock ({ refusal, date }: StoreAnswer, now: number): Finding {
  const fix = 'set the clock of this machine by NTP, as by "timedatectl set-ntp true"'
  if (!date) return refusal === 'RequestTimeTooSkewed' ? fail('clock', 'too far from that of the store', fix) : ok('clock', 'the store does not tell its time, and takes ours')
  // The store tells whole seconds.
  const seconds = Math.round((now - 500 - date.getTime()) / 1000)
  const off = `${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'} the store`
  if (refusal === 'RequestTimeTooSkewed' || Math.abs(seconds) > REFUSE_SKEW_SECONDS) return fail('clock', `${off}: nothing is signed`, fix)
  return Math.abs(seconds) > WARN_SKEW_SECONDS ? warn('clock', off, fix) : ok('clock', 'as that of the store')
}

function checkRegion ({ region, bucket, settingName }: Site, answer: StoreAnswer): Finding {
  const elsewhere = ELSEWHERE.has(answer.refusal ?? '')
  if (!elsewhere && (answer.region === undefined || answer.region === region)) return ok('region', region)
  const there = answer.region ?? 'another region'
  return fail('region', `${bucket} is in ${there}, not in ${region}`, `set ${settingName('S3_REGION')}=${answer.region ?? 'to the region of the bucket'}`)
}

function checkBucket ({ bucket, settingName }: Site, { refusal }: StoreAnswer): Finding {
  if (refusal === 'NoSuchBucket') return fail('bucket', `there is no bucket ${bucket}`, `create it, or correct ${settingName('S3_BUCKET')}`)
  return ok('bucket', `${bucket} is there`)
}

function checkLife ({ config, policies }: Site, { isTemporary, expiresAt }: { isTemporary: boolean, expiresAt: Date | null }): Finding {
  const longest = Math.max(...policies.flatMap(policy => [policy.uploadUrlTtlSeconds, policy.downloadUrlTtlSeconds]), config.uploadUrlTtlSeconds)
  if (!expiresAt) {
    if (!isTemporary) return ok('credentials-life', 'without an end')
    return warn('credentials-life', 'temporary, and nobody says until when: URLs may die before their expiresAt', 'set AWS_CREDENTIAL_EXPIRATION beside AWS_SESSION_TOKEN, or use a role')
  }
  const left = Math.floor((expiresAt.getTime() - Date.now()) / 1000)
  const fix = `use a role whose sessions are longer than ${longest} s and renewed, or lower UPLOAD_URL_TTL_SECONDS`
  if (left < MIN_LIFE_SECONDS) return fail('credentials-life', `${Math.max(left, 0)} s left: nothing is signed`, fix)
  return left < longest ? warn('credentials-life', `${left} s left: no URL lives longer, whatever its ${longest} s`, fix) : ok('credentials-life', `${left} s left`)
}

/** Stores hide from those who may not list whether a key is there: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html */
async function checkMissingKey (site: Site, { refusal }: StoreAnswer): Promise<Finding> {
  const denied = fail('missing-key', 'a missing object is a 403, not a 404: an upload that never came cannot be told from one that must not be seen', `allow s3:ListBucket on arn:aws:s3:::${site.bucket} to the key of the service`)
  if (refusal !== undefined) return isDenied(Object.assign(new Error(), { code: refusal })) ? denied : unclear(refusal)
  try {
    const found = await site.internal.headObject(site.at('missing-key'))
    return found ? fail('missing-key', 'the store shows an object where none is', 'use a store that follows S3 here') : ok('missing-key', 'a missing object is a 404')
  } catch (error) {
    return isDenied(error) ? denied : unclear(describeError(error))
  }
}

function unclear (code: string): Finding {
  return fail('missing-key', `the store does not tell whether an object is there (${code})`, 'use a store that follows S3 here')
}
