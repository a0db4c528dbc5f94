internal import Logging
internal import NIOCore
internal import NIOPosix

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Looks every few seconds whether the certificates' files were replaced.
struct CertificateWatch: Sendable {
    private let task: RepeatedTask

    init(_ tls: ServerTLS, every interval: TimeAmount, on eventLoop: any EventLoop, logger: Logger) {
        for certificate in tls.certificates { certificate.warnIfExpired(logger) }
        task = eventLoop.scheduleRepeatedAsyncTask(initialDelay: interval, delay: interval) { _ in
            // Files are read, and keys checked, on a thread that may wait.
            NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) {
                // Each of them, whatever is wrong with another.
                let changed = tls.certificates.map { $0.reload(logger) }
                if changed.contains(true) { tls.update(logger) }
            }
        }
    }

    func stop() {
        task.cancel()
    }
}

extension ServerCertificate {
    /// - Returns: whether there is a new one.
    fileprivate func reload(_ logger: Logger) -> Bool {
        do throws(CertificateError) {
            guard try reloadIfChanged() else { return false }
            logger.info("new connections get the new certificate", metadata: ["file": "\(certificateFile)"])
            warnIfExpired(logger)
            return true
        } catch {
            logger.error(
                "the new certificate is not used; connections get the one before",
                metadata: ["file": "\(certificateFile)", "error": "\(error)"])
            return false
        }
    }

    fileprivate func warnIfExpired(_ logger: Logger) {
        guard expiry <= Int(time(nil)) else { return }
        logger.warning(
            "the certificate has expired: clients will refuse it", metadata: ["file": "\(certificateFile)"])
    }
}

extension ServerTLS {
    fileprivate func update(_ logger: Logger) {
        do throws(CertificateError) {
            try update()
        } catch {
            logger.error("the new certificates are not used", metadata: ["error": "\(error)"])
        }
    }
}
