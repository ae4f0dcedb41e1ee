import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { type Fqdn, parseFqdn } from '../core/identity.ts'
import { parseUaProtocolId, type UaProtocolId } from '../core/naf-id.ts'

/** What each text format gives to the code that reads the configuration. */
export interface FormatTypes {
  /** Absolute path; relative ones start at the folder of the configuration file. */
  readonly file: string
  readonly fqdn: Fqdn
  /** IP address or host name. */
  readonly host: string
  /** `scheme://host:port`, nothing behind it. */
  readonly origin: string
  /** http or https, without user, query, fragment and trailing slash. */
  readonly url: string
  /** Starts with `/`; no query, nothing percent-encoded, no empty or dot segment. */
  readonly 'path-prefix': string
  readonly 'ua-protocol-id': 'tls-suite' | UaProtocolId
  /** As node:crypto prints a fingerprint: 32 pairs of upper-case hex digits with colons. */
  readonly fingerprint256: string
  /** A word that names something in this file. */
  readonly name: string
  /** IP address, or network as `address/prefix length`. */
  readonly network: string
  /** `host:port`, an IPv6 address in brackets. */
  readonly 'host-port': string
  /** Printable characters without blanks and braces. */
  readonly 'key-prefix': string
  /** Name of an HTTP header field. */
  readonly 'header-name': string
}

export type FormatName = keyof FormatTypes

interface Format {
  /** Completes the sentence "must be …". */
  readonly expects: string
  /** The canonical text, or undefined for what is not in this format. `base` is an absolute folder. */
  read(text: string, base: string): string | undefined
}

/** Every text format of the configuration: what it is called, and the one place where it is parsed. */
export const FORMATS: { readonly [Name in FormatName]: Format } = {
  file: {
    expects: 'a file name',
    read: (text, base) => (text.includes('\0') ? undefined : resolve(base, text)),
  },
  fqdn: { expects: 'a host name without port', read: parseFqdn },
  host: { expects: 'an IP address or a host name without port', read: (text) => (isIP(text) ? text : parseFqdn(text)) },
  origin: {
    expects: 'http:// or https:// with host and port, and nothing behind them',
    read: (text) => {
      const url = httpUrl(text)
      return url?.pathname === '/' ? url.origin : undefined
    },
  },
  url: {
    expects: 'an http:// or https:// URL without user, query and fragment',
    read: (text) => httpUrl(text)?.href.replace(/\/$/, ''),
  },
  'path-prefix': {
    expects: 'a path that starts with / and has no query, percent sign, empty or dot segment',
    read: (text) => (/^(?:\/|(?:\/(?!\.{1,2}(?:\/|$))[\w.~!$&'()*+,;=:@-]+)+\/?)$/.test(text) ? text : undefined),
  },
  'ua-protocol-id': {
    expects: 'tls-suite, or ten hexadecimal digits in quotes',
    read: (text) => (text === 'tls-suite' ? text : parseUaProtocolId(text.toLowerCase())),
  },
  fingerprint256: {
    expects: "a SHA-256 fingerprint, 64 hexadecimal digits ('openssl x509 -noout -fingerprint -sha256' prints it)",
    read: (text) =>
      /^(?:[\dA-Fa-f]{2}:){31}[\dA-Fa-f]{2}$|^[\dA-Fa-f]{64}$/.test(text)
        ? text.toUpperCase().replaceAll(':', '').match(/../g)?.join(':')
        : undefined,
  },
  name: {
    expects: 'letters, digits, dots, underscores and hyphens, at most 64',
    read: (text) => (/^[\w.-]{1,64}$/.test(text) ? text : undefined),
  },
  network: {
    expects: 'an IP address, or a network such as 10.0.0.0/8',
    read: (text) => {
      const [address = '', length, ...more] = text.split('/')
      const most = isIP(address) === 4 ? 32 : 128
      const fits = length === undefined || (/^[1-9]\d{0,2}$/.test(length) && Number(length) <= most)
      return isIP(address) !== 0 && more.length === 0 && fits ? text : undefined
    },
  },
  'host-port': {
    expects: 'host:port, an IPv6 address in brackets',
    read: (text) => {
      const [, host = '', port = ''] = /^(\[[0-9A-Fa-f:.]+\]|[^:]+):(\d{1,5})$/.exec(text) ?? []
      const named = host.startsWith('[') ? isIP(host.slice(1, -1)) === 6 : isIP(host) === 4 || parseFqdn(host)
      return named && Number(port) >= 1 && Number(port) <= 65_535 ? text : undefined
    },
  },
  'key-prefix': {
    expects: 'printable characters without blanks and braces, at most 64',
    read: (text) => (/^[!-z|~]{1,64}$/.test(text) ? text : undefined),
  },
  'header-name': {
    expects: 'the name of a header: letters, digits and hyphens',
    read: (text) => (/^[A-Za-z0-9-]{1,64}$/.test(text) ? text : undefined),
  },
}

function httpUrl(text: string): URL | undefined {
  const url = /^https?:\/\/[^/]/i.test(text) && URL.canParse(text) ? new URL(text) : undefined
  return url && url.username === '' && url.password === '' && !/[?#\\\s]/.test(text) ? url : undefined
}
