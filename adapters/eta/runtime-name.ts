/** The variable of a template through which its code reaches the run time. */
export const RUNTIME = '__fragcache'
