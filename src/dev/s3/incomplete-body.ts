import type { Socket } from 'node:net'

import { S3Error } from './s3-error.js'
import { renderErrorXml } from './xml.js'

/** Answers a connection whose request cannot be parsed, or whose client stopped sending in the middle of a body. */
export function refuseIncompleteBody (error: NodeJS.ErrnoException, socket: Socket): void {
  if (socket.writable) {
    const { code, message } = new S3Error(error.code === 'HPE_INVALID_EOF_STATE' ? 'IncompleteBody' : 'BadRequest')
    const body = renderErrorXml({ Code: code, Message: message })
    socket.write(`HTTP/1.1 400 Bad Request\r\ncontent-type: application/xml\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`)
  }
  socket.destroySoon()
}
