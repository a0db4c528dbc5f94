import PerennialGateway

/// What is to be shown to clients, the first to those who ask for none of them; empty: TLS is not spoken.
func serverCertificates(_ chains: Found<[String]>?, keys: Found<[String]>?) throws(Failure) -> [ServerCertificate] {
    if let chains, let keys, chains.value.count != keys.value.count {
        throw Failure(
            keys.place.code,
            "\(chains.name) names \(chains.value.count) files and \(keys.name) \(keys.value.count); "
                + "give each certificate its key, in the same order")
    }
    var certificates: [ServerCertificate] = []
    for place in 0..<max(chains?.value.count ?? 0, keys?.value.count ?? 0) {
        let chain = chains.map { Found(value: $0.value[place], place: $0.place, name: $0.name) }
        let key = keys.map { Found(value: $0.value[place], place: $0.place, name: $0.name) }
        let made = try certificate(chain, Known.tlsCert.name, key, Known.tlsKey.name) {
            chain, key throws(CertificateError) in
            try ServerCertificate(certificateFile: chain, keyFile: key)
        }
        if let made { certificates.append(made) }
    }
    return certificates
}

/// Where the certificates of clients must come from; `nil`: they need none.
func clientAuthorities(_ file: Found<String>?, isSecure: Bool) throws(Failure) -> TrustedAuthorities? {
    guard let file else { return nil }
    guard isSecure else {
        throw Failure(
            file.place.code,
            "\(file.name) is about clients that speak TLS; give the server's own certificate with --\(Known.tlsCert.name) FILE, too"
        )
    }
    return try authorities(file)
}

/// What is to be shown to an origin; `nil`: nothing.
func clientCertificate(_ chain: Found<String>?, key: Found<String>?) throws(Failure) -> ClientCertificate? {
    try certificate(chain, Known.originCert.name, key, Known.originKey.name) { chain, key throws(CertificateError) in
        try ClientCertificate(certificateFile: chain, keyFile: key)
    }
}

/// A certificate and its key, which are given together or not at all.
private func certificate<Certificate>(
    _ chain: Found<String>?, _ chainSetting: String, _ key: Found<String>?, _ keySetting: String,
    read: (_ chain: String, _ key: String) throws(CertificateError) -> Certificate
) throws(Failure) -> Certificate? {
    switch (chain, key) {
    case (nil, nil): return nil
    case (let chain?, let key?):
        do throws(CertificateError) {
            return try read(chain.value, key.value)
        } catch {
            throw Failure(error, in: error.description.contains(key.value) ? key : chain)
        }
    case (let chain?, nil):
        throw Failure(
            chain.place.code, "\(chain.name) needs the certificate's key; give it with --\(keySetting) FILE")
    case (nil, let key?):
        throw Failure(
            key.place.code, "\(key.name) needs the key's certificate; give it with --\(chainSetting) FILE")
    }
}

/// The certificates that others' must come from.
func authorities(_ file: Found<String>) throws(Failure) -> TrustedAuthorities {
    do throws(CertificateError) {
        return try TrustedAuthorities(file: file.value)
    } catch {
        throw Failure(error, in: file)
    }
}

extension Failure {
    fileprivate init(_ error: CertificateError, in setting: Found<String>) {
        self.init(error.kind == .unreadable ? .noInput : .data, "\(setting.name): \(error)")
    }
}
