// Work that may wait, done in small portions between which the browser answers people.

const PORTION_MS = 8;
/** @type {(() => void)[]} */
const jobs = [];
let due = false;

function work() {
  const end = performance.now() + PORTION_MS;
  do jobs.shift()?.();
  while (jobs.length > 0 && performance.now() < end);
  due = jobs.length > 0;
  if (due) setTimeout(work);
}

/** Do something soon, after what was asked for before. @param {() => void} job @returns {Promise<void>} */
export function later(job) {
  if (!due) setTimeout(work);
  due = true;
  return new Promise((resolve) => {
    jobs.push(() => {
      try {
        job();
      } catch (error) {
        reportError(error); // the jobs behind it are done all the same
      }
      resolve();
    });
  });
}
