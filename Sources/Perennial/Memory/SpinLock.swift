public import Synchronization

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A lock for critical sections of some tens of nanoseconds: no system call and no suspension inside.
///
/// Taking it when it is free is one atomic exchange, and releasing it one store. A thread that finds it taken reads
/// until it looks free, then lets other threads run, then sleeps for ever longer moments (50 µs to 1 ms): when its
/// owner was descheduled, or there are more threads than cores, waiting burns no core and a waiter of higher priority
/// does not starve the owner. It is neither fair nor recursive.
public struct SpinLock: ~Copyable, Sendable {
    @usableFromInline let taken = Atomic<Bool>(false)

    @inlinable
    public init() {}

    /// Returns once the calling thread owns the lock.
    @inlinable @inline(__always)
    public borrowing func lock() {
        if taken.exchange(true, ordering: .acquiring) { waitAndLock() }
    }

    /// Gives the lock back. Only the owner may call it.
    ///
    /// The optimiser must not see what is in here. It takes a store for something that cannot release an object, and
    /// moves below it the retain of what was read under the lock: by then another thread may have freed that. A call
    /// of unknown effects stays where it is, and so does every retain before it.
    @usableFromInline @inline(never) @_optimize(none)
    borrowing func unlock() {
        taken.store(false, ordering: .releasing)
    }

    @usableFromInline @inline(never)
    borrowing func waitAndLock() {
        var round: UInt32 = 0
        while true {
            for _ in 0..<100 where !taken.load(ordering: .relaxed) {
                if !taken.exchange(true, ordering: .acquiring) { return }
            }
            if round < 8 {
                sched_yield()
            } else {
                usleep(min(50 << min(round - 8, 5), 1000))
            }
            round += 1
        }
    }
}

/// How many cores the machine lets this process use, at least 1.
let processorCount = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
