import { SignJWT } from 'jose'
import { readSession } from '../../../lib/session'
import { getSecret, getSetting } from '../../../lib/settings'

const LIFETIME_SECONDS = 300

/** A token for presignd, which lives just long enough to be used: the page asks for another one when it needs it. */
export async function POST (): Promise<Response> {
  const name = await readSession()
  if (name === null) return Response.json({ detail: 'Your session has ended. Sign in again.' }, { status: 401 })
  const token = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject(name).setAudience(getSetting('PRESIGND_JWT_AUDIENCE'))
    .setIssuedAt().setExpirationTime(`${LIFETIME_SECONDS} s`).sign(await getSecret('PRESIGND_JWT_SECRET'))
  return Response.json({ token, expiresInSeconds: LIFETIME_SECONDS }, { headers: { 'cache-control': 'no-store' } })
}
