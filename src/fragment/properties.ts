/** The methods of an object with a class, which run on it itself: what they read is not seen, and counts as all. */
export class Methods {
  readonly #known = new WeakMap<object, object>()

  /**
   * @param isTarget - Whether a method is called on the object.
   * @param called - Called before each of them runs.
   */
  constructor(
    private readonly target: object,
    private readonly isTarget: (self: unknown) => boolean,
    private readonly called: () => void,
  ) {}

  get(key: string | symbol, method: object): unknown {
    if (key === 'constructor') return method
    let known = this.#known.get(method)
    if (known === undefined) {
      const { target, isTarget, called } = this
      known = new Proxy(method as CallableFunction, {
        apply: (_method, self, args) => {
          if (!isTarget(self)) return Reflect.apply(_method, self, args) as unknown
          called()
          return Reflect.apply(_method, target, args) as unknown
        },
      })
      this.#known.set(method, known)
    }
    return known
  }
}

/** Whether a property cannot be changed, and so has to be given as it is. */
export function isFixed(holder: object | undefined, key: string | symbol | undefined): boolean {
  if (holder === undefined || key === undefined) return false
  return Reflect.getOwnPropertyDescriptor(holder, key)?.configurable === false
}

/** Whether an object has a getter of its own for a name. */
export function hasOwnGetter(object: object, key: string): boolean {
  return Reflect.getOwnPropertyDescriptor(object, key)?.get !== undefined
}

/** Whether a property is what a getter gives. */
export function isComputed(target: object, key: string | symbol): boolean {
  return descriptorOf(target, key)?.get !== undefined
}

/** Whether a property has a getter or a setter. */
export function isAccessor(target: object, key: string | symbol): boolean {
  const found = descriptorOf(target, key)
  return found !== undefined && !('value' in found)
}

function descriptorOf(target: object, key: string | symbol): PropertyDescriptor | undefined {
  for (
    let at: object | null = target;
    at !== null;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    const found = Reflect.getOwnPropertyDescriptor(at, key)
    if (found !== undefined) return found
  }
  return undefined
}

/** The value of a property; `undefined`: it has none, or what a getter gives. */
export function ownValue(object: object, key: string): unknown {
  return Reflect.getOwnPropertyDescriptor(object, key)?.value
}

/** The same, also of a property that the object has from its prototypes. */
export function heldValue(object: object, key: string): unknown {
  return descriptorOf(object, key)?.value
}

export function hasNoClass(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === null || prototype === Object.prototype
}
