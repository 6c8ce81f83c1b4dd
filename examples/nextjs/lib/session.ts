import 'server-only'
import { jwtVerify, SignJWT } from 'jose'
import { cookies } from 'next/headers'
import { getSecret } from './settings'

const COOKIE = 'session'
const LIFETIME_SECONDS = 12 * 3600

/** Who is signed in, or null. */
export async function readSession (): Promise<string | null> {
  const cookie = (await cookies()).get(COOKIE)
  if (!cookie) return null
  const secret = await getSecret('SESSION_SECRET')
  return await jwtVerify(cookie.value, secret, { algorithms: ['HS256'] }).then(({ payload }) => payload.sub ?? null, () => null)
}

/** A signed cookie that no script of the page can read. */
export async function startSession (name: string): Promise<void> {
  const value = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject(name)
    .setIssuedAt().setExpirationTime(`${LIFETIME_SECONDS} s`).sign(await getSecret('SESSION_SECRET'));
  (await cookies()).set(COOKIE, value, {
    httpOnly: true,
    sameSite: 'lax',
    secure: process.env.NODE_ENV === 'production',
    maxAge: LIFETIME_SECONDS,
    path: '/'
  })
}

export async function endSession (): Promise<void> {
  (await cookies()).delete(COOKIE)
}
