// swift-tools-version: 6.2
import PackageDescription

// One place for the compiler's strictness: every target of ours gets it (the loop at the end).
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

// Versions are exact, since Package.resolved is not committed.
let dependencies: [Package.Dependency] = [
    .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
    .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
    .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0"),
    .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
    .package(url: "https://github.com/apple/swift-certificates", exact: "1.21.1"),
    .package(url: "https://github.com/apple/swift-asn1", exact: "1.7.4"),
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    .package(url: "https://github.com/onevcat/Rainbow", exact: "4.2.2"),
]

let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let sqlite = Target.Dependency.product(name: "GRDBSQLite", package: "GRDB.swift")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")
let asn1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let rainbow = Target.Dependency.product(name: "Rainbow", package: "Rainbow")

func library(_ name: String, in folder: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "\(folder)/\(name)")
}

func program(_ name: String, in folder: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: "\(folder)/\(name)")
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, path: "Tests/\(name)")
}

let targets: [Target] = [
    // Protocol: what is true.
    library("PeykModel", in: "Protocol"),
    library("PeykMerge", in: "Protocol", ["PeykModel"]),
    library("PeykSession", in: "Protocol", ["PeykModel"]),
    library("PeykWire", in: "Protocol", ["PeykModel", "PeykSession", protobuf]),

    // Sources: what both sides share.
    .systemLibrary(
        name: "CZstd", path: "Sources/CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    library("PeykFailpoint", in: "Sources"),
    .target(
        name: "CPeykSQLite", path: "Sources/CPeykSQLite", linkerSettings: [.linkedLibrary("sqlite3")]),
    library("PeykSQLite", in: "Sources", ["PeykModel", "PeykFailpoint", "CPeykSQLite", grdb, sqlite]),
    library("PeykCRM", in: "Sources", ["PeykModel"]),
    library(
        "PeykTransport", in: "Sources",
        ["PeykModel", "PeykSession", "PeykWire", "CZstd", nioCore, nioPosix, nioSSL, nioTLS, crypto]),
    library("PeykConsole", in: "Sources", ["PeykModel", "PeykCRM", crypto, arguments, rainbow]),

    // Client.
    library(
        "PeykReplica", in: "Client",
        [
            "PeykModel", "PeykMerge", "PeykSession", "PeykWire", "PeykFailpoint", "PeykSQLite", "CZstd", grdb, sqlite,
            crypto,
        ]),
    library(
        "PeykSync", in: "Client",
        [
            "PeykModel", "PeykSession", "PeykWire", "PeykFailpoint", "PeykReplica", "PeykTransport", nioCore, nioPosix,
            logging,
        ]),
    program(
        "peyk", in: "Client",
        [
            "PeykModel", "PeykSession", "PeykCRM", "PeykConsole", "PeykSQLite", "PeykTransport", "PeykReplica",
            "PeykSync", arguments, logging,
        ]),

    // Server.
    library(
        "PeykServer", in: "Server",
        ["PeykModel", "PeykMerge", "PeykSession", "PeykWire", "PeykFailpoint", crypto, logging]),
    library(
        "PeykStoreSQLite", in: "Server", ["PeykModel", "PeykMerge", "PeykServer", "PeykSQLite"]),
    library(
        "PeykNet", in: "Server",
        [
            "PeykModel", "PeykSession", "PeykWire", "PeykFailpoint", "PeykServer", "PeykTransport", nioCore, nioPosix,
            crypto, x509, asn1, logging,
        ]),
    program(
        "peykd", in: "Server",
        [
            "PeykModel", "PeykCRM", "PeykConsole", "PeykFailpoint", "PeykServer", "PeykStoreSQLite", "PeykNet",
            "PeykTransport", "PeykSQLite", "PeykMerge", arguments, logging,
        ]),

    // Tests.
    library("SeededRandom", in: "Tests"),
    library("PropertyKit", in: "Tests", ["SeededRandom", "PeykModel"]),
    tests("PropertyKitTests", ["PropertyKit"]),
    .target(name: "CSimDisk", path: "Tests/CSimDisk", linkerSettings: [.linkedLibrary("sqlite3")]),
    library("SimDisk", in: "Tests", ["CSimDisk"]),
    tests("SimDiskTests", ["PeykModel", "PeykSQLite", "SimDisk"]),
    library(
        "SimulationKit", in: "Tests",
        [
            "SeededRandom", "PeykModel", "PeykMerge", "PeykSession", "PeykWire", "PeykSQLite", "PeykReplica",
            "PeykServer",
            "PeykStoreSQLite", "SimDisk", crypto,
        ]),
    .executableTarget(
        name: "peyk-simulate", dependencies: ["PeykModel", "SimulationKit"], path: "Tests/Simulate",
        exclude: ["run.sh"]),
    tests(
        "SimulationTests",
        [
            "SeededRandom", "PeykModel", "PeykSQLite", "PeykReplica", "PeykServer", "PeykStoreSQLite", "SimDisk",
            "SimulationKit",
        ]),
    tests("PeykModelTests", ["SeededRandom", "PropertyKit", "PeykModel"]),
    tests("PeykMergeTests", ["SeededRandom", "PropertyKit", "PeykModel", "PeykMerge"]),
    tests("PeykSessionTests", ["PeykModel", "PeykSession"]),
    tests("PeykWireTests", ["SeededRandom", "PropertyKit", "PeykModel", "PeykSession", "PeykWire"]),
    tests("PeykSQLiteTests", ["PropertyKit", "PeykModel", "PeykSQLite"]),
    tests("PeykCRMTests", ["PropertyKit", "PeykModel", "PeykCRM", "PeykConsole", "PeykSQLite"]),
    tests(
        "PeykTransportTests",
        [
            "PropertyKit", "PeykModel", "PeykSession", "PeykWire", "PeykTransport", nioCore, nioPosix, nioSSL, crypto,
            x509, asn1,
        ]),
    tests(
        "PeykReplicaTests",
        [
            "SeededRandom", "PropertyKit", "PeykModel", "PeykMerge", "PeykSession", "PeykWire", "PeykSQLite",
            "PeykReplica",
        ]),
    tests(
        "PeykServerTests",
        [
            "SeededRandom", "PropertyKit", "PeykModel", "PeykMerge", "PeykSession", "PeykWire", "PeykServer", crypto,
        ]),
    tests("StoreContractTests", ["PeykModel", "PeykMerge", "PeykSQLite", "PeykServer", "PeykStoreSQLite"]),
    tests(
        "ConvergenceTests",
        [
            "SeededRandom", "PeykModel", "PeykMerge", "PeykSession", "PeykReplica", "PeykServer", "PeykStoreSQLite",
            "SimulationKit",
        ]),
    library("ProgramKit", in: "Tests", ["SeededRandom", nioCore, nioPosix, nioSSL]),
    // The programs are dependencies so that they are built; the tests run them as processes.
    tests("IntegrationTests", ["SeededRandom", "PeykModel", "PeykCRM", "ProgramKit", "peyk", "peykd"]),
    tests("CrashTests", ["SeededRandom", "ProgramKit", "peyk", "peykd"]),
    tests("ChaosTests", ["SeededRandom", "ProgramKit", "peyk", "peykd"]),
    tests("FailureTests", ["SeededRandom", "ProgramKit", "peyk", "peykd"]),
    tests(
        "FaultTests",
        [
            "SeededRandom", "PeykModel", "PeykMerge", "PeykSession", "PeykSQLite", "PeykReplica", "PeykServer",
            "PeykStoreSQLite",
            "SimDisk",
            "SimulationKit",
        ]),
    tests(
        "PeykNetTests",
        [
            "PeykModel", "PeykMerge", "PeykSession", "PeykWire", "PeykTransport", "PeykReplica", "PeykSync",
            "PeykServer",
            "PeykNet", nioCore, nioPosix, logging,
        ]),
    tests("TidyTests", []),
    tests("PeykBenchmarksTests", ["PeykBenchmarks"]),
    library(
        "FuzzKit", in: "Tests",
        [
            "PeykModel", "PeykMerge", "PeykSession", "PeykWire", "PeykCRM", "PeykConsole", "PeykTransport",
            "PeykServer", nioCore, nioEmbedded, crypto,
        ]),
    tests("FuzzReplayTests", ["FuzzKit"]),
    .executableTarget(
        name: "PeykBenchmarks",
        dependencies: [
            "PeykModel", "PeykReplica", "PeykSync", "PeykServer", "PeykStoreSQLite", "PeykNet", "PeykTransport", sqlite,
            logging,
        ],
        path: "Tests/PeykBenchmarks"),
]

/// `PEYK_TARGETS=PeykMergeTests,peyk` leaves out what these targets do not need, for a quick build of one part.
func reachable(from names: [String], in targets: [Target]) -> [Target] {
    let byName = Dictionary(uniqueKeysWithValues: targets.map { ($0.name, $0) })
    var found: Set<String> = []
    var open = names
    while let name = open.popLast() {
        guard let target = byName[name], found.insert(name).inserted else { continue }
        for dependency in target.dependencies {
            switch dependency {
            case .byNameItem(let name, _), .targetItem(let name, _): open.append(name)
            default: break
            }
        }
    }
    return targets.filter { found.contains($0.name) }
}

var chosen = targets
// With the fuzzer's own main function, so only where it is asked for: `make fuzz`.
if Context.environment["PEYK_FUZZ"] == "1" {
    chosen.append(
        .executableTarget(
            name: "PeykFuzz", dependencies: ["FuzzKit"], path: "Tests/PeykFuzz", exclude: ["fuzz.sh"],
            swiftSettings: [.unsafeFlags(["-parse-as-library"])]))
}
if let only = Context.environment["PEYK_TARGETS"], !only.isEmpty {
    chosen = reachable(from: only.split(separator: ",").map(String.init), in: chosen)
}
// The compiler heeds the last `-sanitize` alone: beside the address sanitiser what guides the fuzzer is asked for here.
let guidance: [SwiftSetting] =
    Context.environment["PEYK_FUZZ"] == "1"
    ? [.unsafeFlags(["-sanitize-coverage=edge,inline-8bit-counters,pc-table,trace-cmp"])] : []
for target in chosen where target.type != .system {
    target.swiftSettings = (target.swiftSettings ?? []) + strict + guidance
}

let package = Package(
    name: "peyk",
    products: Context.environment["PEYK_TARGETS"] != nil
        ? []
        : [
            .library(name: "PeykReplica", targets: ["PeykModel", "PeykReplica", "PeykSync"]),
            .executable(name: "peyk", targets: ["peyk"]),
            .executable(name: "peykd", targets: ["peykd"]),
        ],
    dependencies: dependencies,
    targets: chosen
)
