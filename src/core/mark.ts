/** Puts its mark on objects: for as long as they live, and on no copy of them. */
export interface Marker<Value extends NonNullable<unknown>> {
  /** Marks an object, once, and before it is frozen. @throws TypeError where it has this mark already */
  mark<Marked extends object>(object: Marked, value: Value): Marked
  /** What an object was marked with; undefined: it was not. */
  markOf(object: object): Value | undefined
}

/**
 * A mark that only its maker can put on an object, and only its maker can see: proof that the object came from it. It is
 * a private member, which no spread, prototype, proxy or clone hands on. A WeakMap would do the same at many times the
 * cost, in each request and once more when the garbage is collected.
 */
export function marker<Value extends NonNullable<unknown>>(): Marker<Value> {
  class Mark extends Itself {
    readonly #value: Value

    constructor(object: object, value: Value) {
      super(object)
      this.#value = value
    }

    static of(object: object): Value | undefined {
      return #value in object ? object.#value : undefined
    }
  }
  return {
    mark(object, value) {
      new Mark(object, value)
      return object
    },
    markOf: (object) => Mark.of(object),
  }
}

/** Constructs nothing new, so that what extends it adds its private members to an object that is there. */
class Itself {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: to return another object is what it is for
    return object
  }
}
