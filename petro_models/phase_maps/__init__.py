"""Phase maps: EPMA counts and spot analyses -> phase fractions and composition maps.

`data` builds and checks maps, spots and seeds; the readers are in `petro_models.io.epma`.
The forward functions, the model, the baselines and the plots stand in modules of their own,
imported when they are used.
"""
