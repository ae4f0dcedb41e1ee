declare const brand: unique symbol

/** Host name in lower case, without port or trailing dot. */
export type Fqdn = string & { readonly [brand]: 'Fqdn' }

/** Tested before the change of case: the Kelvin sign and its like become ASCII letters when lower-cased. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i

/** In the form of the result already, as most are. */
const IN_FORM = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.(?!$)|$))+$/

/** @returns the name in lower case, or undefined for what is not a host name of letters, digits, hyphens and dots */
export function parseFqdn(text: string): Fqdn | undefined {
  if (text.length <= 253 && IN_FORM.test(text)) return text as Fqdn
  if (text.length > 253 || !text.split('.').every((label) => LABEL.test(label))) return undefined
  return text.toLowerCase() as Fqdn
}
