import t from 'tap'
import { findContentMismatch } from '../../src/uploads/content-signature.js'
import { HTML, JPEG, PDF, png, SVG } from '../helpers/samples.js'

const utf16 = (text: string, mark = '') => Buffer.from(mark + text, 'utf16le')
const swapped = (text: string, mark = '') => utf16(text, mark).swap16()
const html = HTML.toString()
const MZ = Buffer.concat([Buffer.from('MZ\x90\0\x03\0\0\0', 'latin1'), Buffer.alloc(100)])
const ELF = Buffer.concat([Buffer.from('7f454c4602010100', 'hex'), Buffer.alloc(100)])
const ZIP = Buffer.concat([Buffer.from('504b0304140000000800', 'hex'), Buffer.alloc(100)])
const MP4 = Buffer.concat([Buffer.from('000000206674797069736f6d', 'hex'), Buffer.alloc(100)])
const ID3 = Buffer.concat([Buffer.from('ID3\x04\0\0\x01\0\0\0', 'latin1'), Buffer.alloc(4086)])

const table: ReadonlyArray<[name: string, declared: string, bytes: Uint8Array, reason: RegExp | null]> = [
  ['PNG as PNG', 'image/png', png(), null],
  ['JPEG as JPEG', 'image/jpeg', JPEG, null],
  ['JPEG by its other name', 'image/jpg', JPEG, null],
  ['PDF as PDF', 'application/pdf', PDF, null],
  ['MP4 as audio', 'audio/mp4', MP4, null],
  ['MP3 with a long tag', 'audio/mpeg', ID3, null],
  ['ZIP as a document', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document', ZIP, null],
  ['T29: JPEG as PNG', 'image/png', JPEG, /first bytes are those of image\/jpeg/],
  ['T29: PNG as PDF', 'application/pdf', png(), /image\/png/],
  ['T29: noise as PNG', 'image/png', Buffer.from('hello, this is not a picture'), /something else/],
  ['T29: HTML as PNG', 'image/png', HTML, /HTML/],
  ['T29: SVG as JPEG', 'image/jpeg', SVG, /SVG/],
  ['T29: MZ as PDF', 'application/pdf', MZ, /program/],
  ['T29: MZ as anything', 'application/octet-stream', MZ, /program/],
  ['T29: ELF as ZIP', 'application/zip', ELF, /program/],
  ['T29: ZIP as PNG', 'image/png', ZIP, /application\/zip/],
  ['PNG with HTML behind it', 'image/png', Buffer.concat([png(), HTML]), null],
  ['PNG as anything', 'application/octet-stream', png(), null],
  ['noise as anything', 'application/octet-stream', Buffer.from([1, 2, 3]), null],
  ['HTML as anything', 'application/octet-stream', HTML, /HTML/],
  ['a script as anything', 'application/octet-stream', Buffer.from('#!/bin/sh\nrm'), /script/],

  ['text as text', 'text/plain', Buffer.from('hello < world'), null],
  ['text with a tag in the middle', 'text/plain', Buffer.from('use <script> here'), null],
  ['text in UTF-8 with umlauts', 'text/plain', Buffer.from('Übergröße 😀'), null],
  ['text in UTF-16 with its mark', 'text/plain', utf16('hello', '\ufeff'), null],
  ['CSV as CSV', 'text/csv', Buffer.from('a;b\n1;2\n'), null],
  ['BM as text', 'text/plain', Buffer.from('BM is a band'), null],
  ['JSON as JSON', 'application/json', Buffer.from('{"a":"<b>"}'), null],
  ['XML as XML', 'application/xml', Buffer.from('<?xml version="1.0"?><a/>'), null],
  ['SVG as SVG', 'image/svg+xml', SVG, null],
  ['SVG with a declaration', 'image/svg+xml', Buffer.from('<?xml version="1.0"?>\n<!-- x -->\n<svg/>'.replace('<svg/>', '<svg>')), null],
  ['SVG behind a comment', 'image/svg+xml', Buffer.from('<!-- made by hand -->\n<svg>'), null],
  ['HTML as HTML, where a policy takes it', 'text/html', HTML, null],
  ['a script as script', 'text/javascript', Buffer.from('#!/usr/bin/env node\n'), null],
  ['T29: HTML as text', 'text/plain', HTML, /HTML/],
  ['T29: HTML in capitals', 'text/plain', Buffer.from('<HTML><BODY>'), /HTML/],
  ['T29: HTML behind white space', 'text/csv', Buffer.from(`\n\t  ${html}`), /HTML/],
  ['T29: HTML behind a byte order mark', 'text/plain', Buffer.from(`\ufeff${html}`), /HTML/],
  ['T29: HTML in UTF-16', 'text/plain', utf16(html), /HTML/],
  ['T29: HTML in UTF-16 with its mark', 'text/plain', utf16(html, '\ufeff'), /HTML/],
  ['T29: HTML in UTF-16, other way round', 'image/png', swapped(html, '\ufeff'), /HTML/],
  ['T29: HTML in UTF-16, other way round, without mark', 'image/png', swapped(html), /HTML/],
  ['T29: HTML behind a comment', 'text/plain', Buffer.from('<!-- x --><b>'), /HTML/],
  ['T29: an iframe as JSON', 'application/json', Buffer.from('<iframe src=x>'), /HTML/],
  ['T29: SVG as text', 'text/plain', SVG, /SVG/],
  ['T29: SVG as XML', 'application/xml', Buffer.from('<?xml version="1.0"?><svg >'), /SVG/],
  ['T29: XHTML as XML', 'application/xml', Buffer.from('<?xml version="1.0"?><html >'), /HTML/],
  ['T29: XML as text', 'text/plain', Buffer.from('<?xml version="1.0"?><a/>'), /XML/],
  ['T29: PHP as text', 'text/plain', Buffer.from('<?php echo 1;'), /script/],
  ['T29: a shell script as text', 'text/plain', Buffer.from('#!/bin/sh\n'), /script/],
  ['T29: PNG as text', 'text/plain', png(), /not text/],
  ['T29: PDF as text', 'text/plain', Buffer.from('%PDF-1.7 without a zero byte'), /not text/],
  ['T29: a zero byte in text', 'text/plain', Buffer.from('ab\0cd'), /not text/],
  ['T29: HTML as SVG', 'image/svg+xml', HTML, /HTML/],
  ['T29: text as SVG', 'image/svg+xml', Buffer.from('hello'), /not SVG/]
]

for (const [name, declared, bytes, reason] of table) {
  t.test(name, async t => {
    const found = await findContentMismatch(declared, bytes)
    if (reason === null) t.equal(found, null)
    else t.match(found, reason)
  })
}
