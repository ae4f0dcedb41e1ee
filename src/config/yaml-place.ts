import { isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml'
import { ownCopyOf } from '../core/memo.ts'
import { ConfigError } from './config-error.ts'
import { nearest, suggestion } from './nearest.ts'

/** The keys of one section that are there; `given` is the section itself. */
export type Section<Key extends string> = { readonly [K in Key]?: YamlPlace } & { readonly given: YamlPlace }

/**
 * A place in a YAML file that knows its line and key, so that whoever reads it can say exactly what is wrong.
 * Scalars are read as text: keys and sequence numbers of digits only need no quotation marks. What a file holds is
 * never repeated in an error, since it may be a key.
 */
export class YamlPlace {
  readonly #file: string
  readonly #lines: LineCounter
  readonly #node: Node | null
  readonly #key: string

  private constructor(file: string, lines: LineCounter, node: Node | null, key: string) {
    this.#file = file
    this.#lines = lines
    this.#node = node
    this.#key = key
  }

  /** @throws ConfigError for what is not one YAML document */
  static root(yamlText: string, file: string): YamlPlace {
    const lines = new LineCounter()
    const document = parseDocument(yamlText, { schema: 'failsafe', lineCounter: lines, prettyErrors: false })
    const broken = document.errors[0] ?? document.warnings[0]
    if (broken !== undefined) {
      const what = broken.code.toLowerCase().replaceAll('_', ' ')
      throw new ConfigError({ file, line: lines.linePos(broken.pos[0]).line }, `not YAML: ${what}`)
    }
    return new YamlPlace(file, lines, document.contents, '')
  }

  get line(): number {
    return this.#node?.range ? this.#lines.linePos(this.#node.range[0]).line : 1
  }

  /** Dotted path: `subscribers[0].uss[1].gsid`. */
  get key(): string {
    return this.#key
  }

  fail(detail: string): never {
    throw new ConfigError({ file: this.#file, line: this.line, key: this.#key === '' ? undefined : this.#key }, detail)
  }

  /**
   * A section of keys.
   * @param known all that may be there
   * @throws ConfigError for an unknown key, naming the nearest known one
   */
  section<const Key extends string>(known: readonly Key[]): Section<Key> {
    if (!isMap<Node, Node | null>(this.#node)) this.fail('must be a section of keys')
    const places = this.#node.items.map((pair) => this.#member(pair, known))
    return Object.assign(Object.fromEntries(places) as { [K in Key]?: YamlPlace }, { given: this })
  }

  /** A key of this section that has to be there. */
  missing(key: string, expects: string): never {
    return this.#at(this.#node, `.${key}`).fail(`missing; must be ${expects}`)
  }

  /** A list of at least one. */
  list(): YamlPlace[] {
    if (!isSeq<Node>(this.#node) || this.#node.items.length === 0) this.fail('must be a list of at least one')
    return this.#node.items.map((node, i) => this.#at(node, `[${i}]`))
  }

  isSection(): boolean {
    return isMap(this.#node)
  }

  /**
   * One value. What becomes of it may live long, and must not hold on to the whole file with the keys in it.
   * @param parse   gives undefined for what it does not take
   * @param expects completes "must be …"
   */
  read<Value>(parse: (text: string) => Value | undefined, expects: string): Value {
    const text: unknown = isScalar(this.#node) ? this.#node.value : undefined
    const value = typeof text === 'string' ? parse(ownCopyOf(text)) : undefined
    return value ?? this.fail(`must be ${expects}`)
  }

  #member<Key extends string>({ key, value }: Pair<Node, Node | null>, known: readonly Key[]): [string, YamlPlace] {
    const name: unknown = isScalar(key) ? key.value : undefined
    if (typeof name !== 'string') return this.#at(key, '').fail('must have text for keys')
    const place = this.#at(key, `.${name}`)
    if (!known.some((word) => word === name)) place.fail(`unknown key${suggestion(nearest(name, known))}`)
    return [name, this.#at(value ?? key, `.${name}`)]
  }

  #at(node: Node | null, step: string): YamlPlace {
    return new YamlPlace(this.#file, this.#lines, node, `${this.#key}${step}`.replace(/^\./, ''))
  }
}
