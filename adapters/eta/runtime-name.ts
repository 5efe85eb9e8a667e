/** The variable of a template through which its code reaches the run time. */
export const RUNTIME = '__fragcache'
/**
 * The variable that gives the tags of a template whose arguments can be told before they are met. It is handed to a
 * tag that waits, and never assigned to an object that outlives it: if it is, V8 keeps what a render made until its
 * next full collection, and half of the time goes to the collections between.
 */
export const TELLS = `${RUNTIME}Tells`
