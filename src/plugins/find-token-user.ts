import fastify from 'fastify'
import type { User } from '../user.js'
import { authentication, type AuthenticationOptions } from './authentication.js'

/**
 * Whom a token speaks for, by the plugin that every request goes through.
 * @throws {ApiError} UNAUTHENTICATED, AUTH_UNAVAILABLE; the cause says more than clients may know
 */
export async function findTokenUser (token: string, options: Omit<AuthenticationOptions, 'findTicketUser' | 'cookie'>): Promise<User> {
  const app = fastify()
  try {
    const found = new Promise<User>((resolve, reject) => {
      app.setErrorHandler(async error => {
        reject(error)
        return {}
      })
      app.get('/', async request => {
        resolve(request.user)
        return {}
      })
    })
    found.catch(() => {})
    await app.register(authentication, { ...options, findTicketUser: async () => null })
    await app.inject({ url: '/', headers: { authorization: `Bearer ${token}` } })
    return await found
  } finally {
    await app.close()
  }
}
