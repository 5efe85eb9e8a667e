/** What is known of objects that other code makes, kept in a private field of each. */
export interface PrivateField<K extends object, V> {
  has(object: K): boolean
  /** @returns `undefined`: it has not been set. */
  get(object: K): V | undefined
  set(object: K, value: V): void
}

/** Returns the object that it is given, for a class whose fields are to be that object's. */
export const Itself = function (object: object) {
  return object
} as unknown as new (object: object) => object

/**
 * For objects that are there by the request or the render: what a `WeakMap` holds of these outlives them until the
 * garbage collector goes through all memory, with everything that can be reached from it, such as the variables of
 * every page. In a field it goes with its object.
 */
export function privateField<K extends object, V>(): PrivateField<K, V> {
  return class Holder extends Itself {
    #value: V

    constructor(object: K, value: V) {
      super(object)
      this.#value = value
    }

    static has(object: K): boolean {
      return #value in object
    }

    static get(object: K): V | undefined {
      return #value in object ? object.#value : undefined
    }

    static set(object: K, value: V): void {
      if (#value in object) object.#value = value
      else new Holder(object, value)
    }
  }
}
