//! Scripts of the projects of a workspace, and which of them wait for which.

use std::collections::HashMap;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::scripting::{Chosen, Order, refuse_circle, shown};
use crate::install::scripts::schedule::{circle, sequence, without_circles};

/// A script of a project, by its position among the chosen ones. It need not be there: then it is
/// waited through.
type Node = (usize, String);

/// Scripts, and for each the places of those that it waits for.
pub(super) struct ScriptGraph {
    pub(super) nodes: Vec<Node>,
    pub(super) waits_for: Vec<Vec<usize>>,
}

impl ScriptGraph {
    /// `roots` and all that they wait for: what `tasks` says of a script, and where it says nothing
    /// the scripts of that name of the projects that its project waits for. In the order of the
    /// projects, and in each of them what is waited for first.
    pub(super) fn new(
        context: &Context,
        chosen: &Chosen,
        order: &Order,
        roots: &[Node],
    ) -> Result<Self, Failure> {
        let mut graph = Self {
            nodes: Vec::new(),
            waits_for: Vec::new(),
        };
        let mut places = HashMap::new();
        for root in roots {
            graph.place(&mut places, root.clone());
        }
        let mut of_project: HashMap<usize, Vec<String>> = HashMap::new();
        for (position, script) in roots {
            of_project
                .entry(*position)
                .or_default()
                .push(script.clone());
        }
        let mut at = 0;
        while at < graph.nodes.len() {
            let others = waited_for(context, order, &of_project, &graph.nodes[at]);
            let others = others.into_iter();
            graph.waits_for[at] = others
                .map(|other| graph.place(&mut places, other))
                .collect();
            at += 1;
        }
        if let Some(circle) = circle(&graph.waits_for) {
            let name = |at: &usize| {
                let (position, script) = &graph.nodes[*at];
                let directory = &chosen.project(*position).directory;
                format!("{}#{script}", shown(directory, &context.called_in))
            };
            refuse_circle(context, circle.iter().chain(circle.first()).map(name))?;
            graph.waits_for = without_circles(&graph.waits_for);
        }
        Ok(graph.sorted(order))
    }

    fn place(&mut self, places: &mut HashMap<Node, usize>, node: Node) -> usize {
        *places.entry(node).or_insert_with_key(|node| {
            self.nodes.push(node.clone());
            self.waits_for.push(Vec::new());
            self.nodes.len() - 1
        })
    }

    fn sorted(self, order: &Order) -> Self {
        let mut rank = vec![0; order.waits_for.len()];
        for (place, position) in sequence(&order.waits_for).into_iter().enumerate() {
            rank[position] = place;
        }
        let mut kept = sequence(&self.waits_for);
        kept.sort_by_key(|at| rank[self.nodes[*at].0]);
        let mut new = vec![0; kept.len()];
        for (place, at) in kept.iter().enumerate() {
            new[*at] = place;
        }
        let waits = |at: &usize| {
            self.waits_for[*at]
                .iter()
                .map(|other| new[*other])
                .collect()
        };
        Self {
            waits_for: kept.iter().map(waits).collect(),
            nodes: kept.iter().map(|at| self.nodes[*at].clone()).collect(),
        }
    }
}

/// What a script waits for. `roots` are the scripts that were asked for, by project: one of them
/// waits for all of those.
fn waited_for(
    context: &Context,
    order: &Order,
    roots: &HashMap<usize, Vec<String>>,
    (position, script): &Node,
) -> Vec<Node> {
    let is_root = roots.values().flatten().any(|root| root == script);
    let of_others = |name: &str| {
        let scripts = |other: &usize| match roots.get(other) {
            Some(roots) if is_root && name == script => roots.clone(),
            _ => vec![name.to_owned()],
        };
        let others = order.waits_for[*position].iter();
        let others = others.flat_map(|other| scripts(other).into_iter().map(|name| (*other, name)));
        others.collect()
    };
    let declared = context.config.scripts.tasks.get(script);
    let Some(declared) = declared.filter(|_| !order.is_free) else {
        return of_others(script);
    };
    let names = declared
        .iter()
        .flat_map(|name| match name.strip_prefix('^') {
            Some(name) => of_others(name),
            None => vec![(*position, name.clone())],
        });
    names.collect()
}
