import ArgumentParser

enum CustomerKind: RecordKind {
    static let table = "customer"
    static let abstract = "Customers: companies and people who buy."
    static let example = "peyk customer add --name 'Kaveh Trading' --phone '+98 21 0000 0000' --city Tehran"

    struct Flags: FieldFlags {
        @Option(help: "The name; required.") var name: String?
        @Option(help: "A phone number; may be repeated.") var phone: [String] = []
        @Option(help: "An email address; may be repeated.") var email: [String] = []
        @Option(help: "prospect, customer, partner, reseller or former.") var type: String?
        @Option(help: "The trade.") var industry: String?
        @Option(help: "The city.") var city: String?
        @Option(help: "The owner, by name or id; else you.") var owner: String?
        @Option(help: "The territory, by name or id; else yours.") var territory: String?
        @Option(help: "A tag; may be repeated.") var tag: [String] = []

        var assignments: [String] {
            assign("name", name) + add("phones", phone) + add("emails", email) + assign("type", type)
                + assign("industry", industry) + assign("city", city) + assign("owner_id", owner)
                + assign("territory_id", territory) + add("tags", tag)
        }
    }
}

enum ContactKind: RecordKind {
    static let table = "contact"
    static let abstract = "Contacts: the people at a customer."
    static let example = "peyk contact add --name 'Neda Sharif' --customer 'Kaveh Trading' --email neda@example.com"

    struct Flags: FieldFlags {
        @Option(help: "The name; required.") var name: String?
        @Option(help: "The customer, by name or id.") var customer: String?
        @Option(help: "The job title.") var title: String?
        @Option(help: "A phone number; may be repeated.") var phone: [String] = []
        @Option(help: "An email address; may be repeated.") var email: [String] = []
        @Option(help: "A part in decisions (buyer, champion …); may be repeated.") var role: [String] = []

        var assignments: [String] {
            assign("name", name) + assign("customer_id", customer) + assign("title", title) + add("phones", phone)
                + add("emails", email) + add("roles", role)
        }
    }
}

enum OpportunityKind: RecordKind {
    static let table = "opportunity"
    static let aliases = ["opp"]
    static let abstract = "Opportunities: deals on their way through the stages."
    static let example = "peyk opp add --name 'Routers' --customer 'Kaveh Trading' --amount '120,000,000 IRR'"

    struct Flags: FieldFlags {
        @Option(help: "The name; required.") var name: String?
        @Option(help: "The customer, by name or id.") var customer: String?
        @Option(help: "The amount with its currency, for example '1,200 USD'.") var amount: String?
        @Option(help: "The stage, by name or id; else the first.") var stage: String?
        @Option(help: "When it should close: 2026-12-01, 1405/09/10 or +30d.") var close: String?
        @Option(help: "The product, by name or id.") var product: String?
        @Option(help: "The owner, by name or id; else you.") var owner: String?
        @Option(help: "The territory; else the customer's, else yours.") var territory: String?
        @Option(help: "A tag; may be repeated.") var tag: [String] = []

        var assignments: [String] {
            assign("name", name) + assign("customer_id", customer) + assign("amount", amount)
                + assign("stage_id", stage) + assign("close_date", close) + assign("product_id", product)
                + assign("owner_id", owner) + assign("territory_id", territory) + add("tags", tag)
        }
    }
}

enum ActivityKind: RecordKind {
    static let table = "activity"
    static let abstract = "Activities: visits, calls, messages, meetings. They are added, never changed."
    static let example = "peyk activity add --kind visit --opportunity 0198c2f1 --subject 'Site survey' --minutes 45"

    struct Flags: FieldFlags {
        @Option(help: "visit, call, message or meeting; required.") var kind: String?
        @Option(help: "What it was about.") var subject: String?
        @Option(help: "The opportunity that it belongs to.") var opportunity: String?
        @Option(help: "Or the contact.") var contact: String?
        @Option(help: "Or the customer.") var customer: String?
        @Option(help: "When: now, or 2026-11-22 14:30.") var at: String?
        @Option(help: "How long, in minutes.") var minutes: String?
        @Option(help: "in or out.") var direction: String?
        @Option(help: "What came of it.") var outcome: String?
        @Option(help: "The text.") var body: String?

        var assignments: [String] {
            assign("kind", kind) + assign("subject", subject) + assign("opportunity_id", opportunity)
                + assign("contact_id", contact) + assign("customer_id", customer) + assign("occurred_at", at)
                + assign("duration_minutes", minutes) + assign("direction", direction) + assign("outcome", outcome)
                + assign("body", body)
        }

        func validate() throws {
            guard [opportunity, contact, customer].compactMap({ $0 }).count <= 1 else {
                throw ValidationError("An activity belongs to one opportunity, contact or customer, not to several.")
            }
        }
    }
}

enum TaskKind: RecordKind {
    static let table = "task"
    static let abstract = "Tasks: your own list."
    static let example = "peyk task add --title 'Send the quote' --due tomorrow --opportunity 0198c2f1"

    struct Flags: FieldFlags {
        @Option(help: "What is to be done; required.") var title: String?
        @Option(help: "When it is due: tomorrow, +3d, 2026-12-01, 1405/09/10.") var due: String?
        @Option(help: "low, normal or high.") var priority: String?
        @Option(help: "Whose it is; else yours.") var assignee: String?
        @Option(help: "The customer that it is about.") var customer: String?
        @Option(help: "The opportunity that it is about.") var opportunity: String?

        var assignments: [String] {
            assign("title", title) + assign("due_on", due) + assign("priority", priority)
                + assign("assignee_id", assignee) + assign("customer_id", customer)
                + assign("opportunity_id", opportunity)
        }
    }
}
