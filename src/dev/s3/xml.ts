import { XMLParser, XMLValidator } from 'fast-xml-parser'

import { S3Error } from './s3-error.js'

export type XmlValue = string | number | boolean | undefined | XmlTree | readonly XmlValue[]
/** Element names in order; an array repeats its element, undefined leaves it out. */
export interface XmlTree { readonly [name: string]: XmlValue }

const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'

const entities = new Map([['&', '&amp;'], ['<', '&lt;'], ['>', '&gt;'], ['"', '&quot;']])

function escape (text: string): string {
  // Control characters are legal in keys and not in XML 1.0; S3 writes them as references all the same.
  return text.replace(/[&<>"]|\p{Cc}/gu, (found) => entities.get(found) ?? `&#x${(found.codePointAt(0) ?? 0).toString(16)};`)
}

function renderElement (name: string, value: XmlValue): string {
  if (value === undefined) return ''
  if (Array.isArray(value)) return value.map((item: XmlValue) => renderElement(name, item)).join('')
  return `<${name}>${typeof value === 'object' ? renderChildren(value as XmlTree) : escape(String(value))}</${name}>`
}

function renderChildren (tree: XmlTree): string {
  return Object.entries(tree).map(([name, value]) => renderElement(name, value)).join('')
}

export function renderXml (root: string, tree: XmlTree): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${namespace}">${renderChildren(tree)}</${root}>`
}

/** S3's error documents carry no namespace. */
export function renderErrorXml (tree: XmlTree): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${renderElement('Error', tree)}`
}

// Values stay strings, and spaces stay: a key may begin or end with one.
const parser = new XMLParser({ ignoreAttributes: true, parseTagValue: false, trimValues: false, htmlEntities: true, removeNSPrefix: true })

/** An element read from a request: look its children up with {@link elements} and {@link text}. */
export type XmlElement = ReadonlyMap<string, readonly unknown[]>

function toElement (value: unknown): XmlElement {
  if (typeof value !== 'object' || value === null) return new Map()
  return new Map(Object.entries(value).map(([name, child]: [string, unknown]) => [name, Array.isArray(child) ? child : [child]]))
}

/** @throws {S3Error} MalformedXML unless the document is well-formed, has this root and no DOCTYPE. */
export function parseXml (document: string, root: string): XmlElement {
  if (/<!DOCTYPE/i.test(document) || XMLValidator.validate(document) !== true) throw new S3Error('MalformedXML')
  const found = toElement(parser.parse(document)).get(root)
  if (found?.length !== 1) throw new S3Error('MalformedXML')
  return toElement(found[0])
}

export function elements (parent: XmlElement, name: string): XmlElement[] {
  return (parent.get(name) ?? []).map(toElement)
}

export function texts (parent: XmlElement, name: string): string[] {
  return (parent.get(name) ?? []).map((value) => {
    if (typeof value !== 'string') throw new S3Error('MalformedXML')
    return value
  })
}

/** @throws {S3Error} MalformedXML when the element occurs more than once. */
export function text (parent: XmlElement, name: string): string | undefined {
  const found = texts(parent, name)
  if (found.length > 1) throw new S3Error('MalformedXML')
  return found[0]
}
