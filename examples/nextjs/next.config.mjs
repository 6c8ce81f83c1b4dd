/** @type {import('next').NextConfig} */
export default {
  poweredByHeader: false,
  // This folder is the whole app, whatever lies above it.
  turbopack: { root: import.meta.dirname },
  async headers () {
    return [{
      source: '/:path*',
      headers: [
        { key: 'content-security-policy', value: "frame-ancestors 'none'; base-uri 'none'; object-src 'none'" },
        { key: 'referrer-policy', value: 'no-referrer' },
        { key: 'x-content-type-options', value: 'nosniff' }
      ]
    }]
  }
}
