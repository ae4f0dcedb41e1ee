/** What a UE may have done otherwise than it should, as recomputing its response shows. */
export type DeviationName =
  | 'key-wrong'
  | 'ua-id-wrong'
  | 'naf-name-wrong'
  | 'identity-in-key'
  | 'password-form'
  | 'realm-wrong'
  | 'btid-wrong'
  | 'algorithm'
  | 'form'
  | 'method'
  | 'uri-mismatch'
  | 'body-altered'

/** What can be found out about a request. `right`: nothing is wrong with what was looked at. */
export type FindingName =
  | DeviationName
  | 'right'
  | 'credentials-missing'
  | 'credentials-malformed'
  | 'key-expired'
  | 'nc-reused'
  | 'impu-foreign'

export interface Finding {
  readonly name: FindingName
  /** `certain`: compared, recomputed or on record. `likely`, `possible`: what is left when nothing fits. */
  readonly certainty: 'certain' | 'likely' | 'possible'
  /** In plain words, without a key in it. */
  readonly says: string
}

export const finding = (name: FindingName, says: string, certainty: Finding['certainty'] = 'certain'): Finding => ({
  name,
  certainty,
  says,
})
